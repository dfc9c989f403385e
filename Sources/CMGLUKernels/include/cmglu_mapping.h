// Mapped files that shrink while they are read. The system then sends SIGBUS for the pages that are gone;
// with a guard they read as zeros, and the mapping is known to be damaged.
#ifndef CMGLU_MAPPING_H
#define CMGLU_MAPPING_H

#include <stdbool.h>
#include <stddef.h>

typedef struct cmglu_mapping cmglu_mapping;

// From now on SIGBUS within a known mapping is handled; any other goes where it went before. False where the
// system does not let a handler be set.
bool cmglu_mappings_guard(void);
// Makes a mapping of the file at `path` known; NULL without memory for it, which leaves it unguarded.
cmglu_mapping *cmglu_mapping_add(void *base, size_t size, const char *path);
// Forgets a mapping, before it is unmapped.
void cmglu_mapping_remove(cmglu_mapping *mapping);
// The path of a known mapping that has lost pages, copied to `path`, which has `size` bytes; false where
// all are whole.
bool cmglu_mappings_damaged(char *path, size_t size);

#endif
