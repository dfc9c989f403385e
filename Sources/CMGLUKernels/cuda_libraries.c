// The function tables of CUDA's libraries, filled at run time.
#if defined(__linux__)
#define _GNU_SOURCE
#endif
#include "cmglu_cuda.h"

#include <dlfcn.h>

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

const char *cmglu_library_path(const void *symbol) {
  Dl_info info;
  return dladdr(symbol, &info) != 0 ? info.dli_fname : NULL;
}
