// The handler may interrupt anything, in any thread: it walks a list that only grows, of atomic members, and
// calls nothing but mmap and sigaction.
#define _GNU_SOURCE
#include "cmglu_mapping.h"

#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

struct cmglu_mapping {
  _Atomic(uintptr_t) base;  // 0 where the entry is free
  _Atomic(size_t) size;
  atomic_bool used, damaged;
  char path[PATH_MAX];
  cmglu_mapping *next;
};

static _Atomic(cmglu_mapping *) first;
static atomic_int damaged_count;
static struct sigaction previous;
static size_t page_size;

static void handle(int signal, siginfo_t *info, void *context) {
  (void)context;
  const int error = errno;
  const uintptr_t address = (uintptr_t)info->si_addr;
  // One that a process sends has no address.
  for (cmglu_mapping *m = info->si_code > 0 ? atomic_load(&first) : NULL; m; m = m->next) {
    const uintptr_t base = atomic_load(&m->base);
    const size_t size = atomic_load(&m->size);
    if (!base || address < base || address - base >= size) continue;
    const uintptr_t page = address / page_size * page_size;
    if (mmap((void *)page, base + size - page, PROT_READ, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1,
             0) == MAP_FAILED) {
      break;
    }
    if (!atomic_exchange(&m->damaged, true)) atomic_fetch_add(&damaged_count, 1);
    errno = error;
    return;
  }
  // The access is repeated, and goes to whoever handled the signal before.
  sigaction(signal, &previous, NULL);
  if (info->si_code <= 0) raise(signal);
  errno = error;
}

bool cmglu_mappings_guard(void) {
  static atomic_bool done;
  if (atomic_exchange(&done, true)) return true;
  page_size = (size_t)sysconf(_SC_PAGESIZE);
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_sigaction = handle;
  action.sa_flags = SA_SIGINFO;
  sigemptyset(&action.sa_mask);
  return sigaction(SIGBUS, &action, &previous) == 0;
}

cmglu_mapping *cmglu_mapping_add(void *base, size_t size, const char *path) {
  cmglu_mapping *m = atomic_load(&first);
  while (m && atomic_exchange(&m->used, true)) m = m->next;
  if (!m) {
    m = calloc(1, sizeof *m);
    if (!m) return NULL;
    atomic_store(&m->used, true);
    m->next = atomic_load(&first);
    while (!atomic_compare_exchange_weak(&first, &m->next, m)) {
    }
  }
  strncpy(m->path, path, sizeof m->path - 1);
  atomic_store(&m->size, size);
  atomic_store(&m->base, (uintptr_t)base);
  return m;
}

void cmglu_mapping_remove(cmglu_mapping *m) {
  atomic_store(&m->base, 0);
  if (atomic_exchange(&m->damaged, false)) atomic_fetch_sub(&damaged_count, 1);
  atomic_store(&m->used, false);
}

bool cmglu_mappings_damaged(char *path, size_t size) {
  if (atomic_load(&damaged_count) == 0) return false;
  for (cmglu_mapping *m = atomic_load(&first); m; m = m->next) {
    if (!atomic_load(&m->damaged)) continue;
    strncpy(path, m->path, size - 1);
    path[size - 1] = 0;
    return true;
  }
  return false;
}
