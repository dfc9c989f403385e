// The function tables of CUDA's libraries, filled at run time.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "cmglu_cuda.h"

#include <dlfcn.h>
#include <limits.h>
#include <string.h>

#define REQUIRED(name, symbol, parameters)          \
  *(void **)&table->name = lookup(library, symbol);       \
  if (table->name == NULL && missing == NULL) missing = symbol;
#define OPTIONAL(name, symbol, parameters) *(void **)&table->name = lookup(library, symbol);

const char *cmglu_cuda_load(cmglu_cuda_driver *table, cmglu_lookup lookup, void *library) {
  const char *missing = NULL;
  CMGLU_CUDA_FUNCTIONS(REQUIRED)
  CMGLU_CUDA_NEWER_FUNCTIONS(OPTIONAL)
  return missing;
}

const char *cmglu_nvrtc_load(cmglu_nvrtc *table, cmglu_lookup lookup, void *library) {
  const char *missing = NULL;
  REQUIRED(nvrtcGetErrorString, "nvrtcGetErrorString", )
  CMGLU_NVRTC_FUNCTIONS(REQUIRED)
  return missing;
}

const char *cmglu_lt_load(cmglu_lt *table, cmglu_lookup lookup, void *library) {
  const char *missing = NULL;
  REQUIRED(cublasLtGetVersion, "cublasLtGetVersion", )
  REQUIRED(cublasLtGetStatusName, "cublasLtGetStatusName", )
  CMGLU_LT_FUNCTIONS(REQUIRED)
  return missing;
}

const char *cmglu_nccl_load(cmglu_nccl *table, cmglu_lookup lookup, void *library) {
  const char *missing = NULL;
  REQUIRED(ncclGetErrorString, "ncclGetErrorString", )
  REQUIRED(ncclGetLastError, "ncclGetLastError", )
  CMGLU_NCCL_FUNCTIONS(REQUIRED)
  return missing;
}

int cmglu_nccl_begin(const cmglu_nccl *nccl, cmglu_nccl_comm *comm, int ranks, const void *id,
                     int rank) {
  // What is INT_MIN has NCCL's default.
  cmglu_nccl_config config = {
      .size = sizeof config, .magic = 0xcafebeef, .version = 21800, .blocking = 0,
      .cga_cluster_size = INT_MIN, .min_ctas = INT_MIN, .max_ctas = INT_MIN, .net_name = NULL,
      .split_share = INT_MIN, .traffic_class = INT_MIN};
  cmglu_nccl_id value;
  memcpy(&value, id, sizeof value);
  return nccl->ncclCommInitRankConfig(comm, ranks, value, rank, &config);
}

const char *cmglu_library_path(const void *symbol) {
  Dl_info info;
  return dladdr(symbol, &info) != 0 ? info.dli_fname : NULL;
}
