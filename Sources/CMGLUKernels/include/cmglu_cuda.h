// The part of CUDA's interfaces that MGLUCompute calls, declared here so that a build needs no
// CUDA: the libraries are opened at run time. Layouts and signatures are those of CUDA 12 and 13.
#ifndef CMGLU_CUDA_H
#define CMGLU_CUDA_H

#include <stddef.h>
#include <stdint.h>

#if defined(__cplusplus)
extern "C" {
#endif

typedef int cmglu_cuda_result;         // CUresult
typedef uint64_t cmglu_cuda_address;   // CUdeviceptr
typedef struct CUctx_st *cmglu_cuda_context;
typedef struct CUmod_st *cmglu_cuda_module;
typedef struct CUfunc_st *cmglu_cuda_function;
typedef struct CUstream_st *cmglu_cuda_stream;
typedef struct CUevent_st *cmglu_cuda_event;
typedef struct CUgraph_st *cmglu_cuda_graph;
typedef struct CUgraphExec_st *cmglu_cuda_graph_exec;

// CUipcMemHandle: passed by value.
typedef struct {
  char bytes[64];
} cmglu_cuda_ipc_handle;

// CUlaunchAttribute: the value is a union of 64 bytes, whose used members all begin with words.
typedef struct {
  uint32_t id;
  uint32_t padding;
  union {
    uint64_t whole[8];
    uint32_t words[16];
  } value;
} cmglu_cuda_attribute;

enum {
  CMGLU_CUDA_COOPERATIVE = 2,                     // words[0]: 1 for blocks that run together
  CMGLU_CUDA_CLUSTER_DIMENSION = 4,               // words[0 ..< 3]: x, y, z in blocks
  CMGLU_CUDA_PROGRAMMATIC_SERIALIZATION = 6,      // words[0]: 1 to allow
};

// CUlaunchConfig.
typedef struct {
  uint32_t grid_x, grid_y, grid_z;
  uint32_t block_x, block_y, block_z;
  uint32_t shared_bytes;
  cmglu_cuda_stream stream;
  const cmglu_cuda_attribute *attributes;
  uint32_t attribute_count;
} cmglu_cuda_launch;

_Static_assert(sizeof(cmglu_cuda_attribute) == 72, "CUlaunchAttribute");
_Static_assert(offsetof(cmglu_cuda_attribute, value) == 8, "CUlaunchAttribute.value");
_Static_assert(sizeof(void *) != 8 || sizeof(cmglu_cuda_launch) == 56, "CUlaunchConfig");
_Static_assert(sizeof(void *) != 8 || offsetof(cmglu_cuda_launch, stream) == 32, "hStream");
_Static_assert(sizeof(void *) != 8 || offsetof(cmglu_cuda_launch, attribute_count) == 48,
               "numAttrs");

// The functions of libcuda: FUNCTION(name, symbol, parameters). Symbols carry the suffix that the
// name stands for in the current cuda.h.
#define CMGLU_CUDA_FUNCTIONS(FUNCTION)                                                             \
  FUNCTION(cuInit, "cuInit", (unsigned flags))                                                     \
  FUNCTION(cuDriverGetVersion, "cuDriverGetVersion", (int *version))                               \
  FUNCTION(cuGetErrorName, "cuGetErrorName", (cmglu_cuda_result error, const char **name))         \
  FUNCTION(cuGetErrorString, "cuGetErrorString", (cmglu_cuda_result error, const char **text))     \
  FUNCTION(cuDeviceGetCount, "cuDeviceGetCount", (int *count))                                     \
  FUNCTION(cuDeviceGet, "cuDeviceGet", (int *device, int ordinal))                                 \
  FUNCTION(cuDeviceGetName, "cuDeviceGetName", (char *name, int size, int device))                 \
  FUNCTION(cuDeviceTotalMem, "cuDeviceTotalMem_v2", (size_t *bytes, int device))                   \
  FUNCTION(cuDeviceGetAttribute, "cuDeviceGetAttribute", (int *value, int attribute, int device))  \
  FUNCTION(cuDevicePrimaryCtxRetain, "cuDevicePrimaryCtxRetain",                                   \
           (cmglu_cuda_context *context, int device))                                              \
  FUNCTION(cuDevicePrimaryCtxRelease, "cuDevicePrimaryCtxRelease_v2", (int device))                \
  FUNCTION(cuCtxSetCurrent, "cuCtxSetCurrent", (cmglu_cuda_context context))                       \
  FUNCTION(cuCtxGetCurrent, "cuCtxGetCurrent", (cmglu_cuda_context *context))                      \
  FUNCTION(cuMemGetInfo, "cuMemGetInfo_v2", (size_t *free, size_t *total))                         \
  FUNCTION(cuMemAlloc, "cuMemAlloc_v2", (cmglu_cuda_address *address, size_t bytes))               \
  FUNCTION(cuMemFree, "cuMemFree_v2", (cmglu_cuda_address address))                                \
  FUNCTION(cuMemHostAlloc, "cuMemHostAlloc", (void **memory, size_t bytes, unsigned flags))        \
  FUNCTION(cuMemFreeHost, "cuMemFreeHost", (void *memory))                                         \
  FUNCTION(cuMemcpyHtoDAsync, "cuMemcpyHtoDAsync_v2",                                              \
           (cmglu_cuda_address to, const void *from, size_t bytes, cmglu_cuda_stream stream))      \
  FUNCTION(cuMemcpyDtoHAsync, "cuMemcpyDtoHAsync_v2",                                              \
           (void *to, cmglu_cuda_address from, size_t bytes, cmglu_cuda_stream stream))            \
  FUNCTION(cuMemcpyDtoDAsync, "cuMemcpyDtoDAsync_v2",                                              \
           (cmglu_cuda_address to, cmglu_cuda_address from, size_t bytes,                          \
            cmglu_cuda_stream stream))                                                             \
  FUNCTION(cuMemsetD8Async, "cuMemsetD8Async",                                                     \
           (cmglu_cuda_address to, unsigned char value, size_t count, cmglu_cuda_stream stream))   \
  FUNCTION(cuMemsetD32Async, "cuMemsetD32Async",                                                   \
           (cmglu_cuda_address to, unsigned value, size_t count, cmglu_cuda_stream stream))        \
  FUNCTION(cuStreamCreate, "cuStreamCreate", (cmglu_cuda_stream *stream, unsigned flags))          \
  FUNCTION(cuStreamCreateWithPriority, "cuStreamCreateWithPriority",                               \
           (cmglu_cuda_stream *stream, unsigned flags, int priority))                              \
  FUNCTION(cuStreamDestroy, "cuStreamDestroy_v2", (cmglu_cuda_stream stream))                      \
  FUNCTION(cuStreamSynchronize, "cuStreamSynchronize", (cmglu_cuda_stream stream))                 \
  FUNCTION(cuStreamQuery, "cuStreamQuery", (cmglu_cuda_stream stream))                             \
  FUNCTION(cuStreamWriteValue32, "cuStreamWriteValue32_v2",                                        \
           (cmglu_cuda_stream stream, cmglu_cuda_address to, unsigned value, unsigned flags))      \
  FUNCTION(cuStreamWaitValue32, "cuStreamWaitValue32_v2",                                          \
           (cmglu_cuda_stream stream, cmglu_cuda_address at, unsigned value, unsigned flags))      \
  FUNCTION(cuIpcGetMemHandle, "cuIpcGetMemHandle",                                                 \
           (cmglu_cuda_ipc_handle * handle, cmglu_cuda_address address))                           \
  FUNCTION(cuIpcOpenMemHandle, "cuIpcOpenMemHandle_v2",                                            \
           (cmglu_cuda_address * address, cmglu_cuda_ipc_handle handle, unsigned flags))           \
  FUNCTION(cuIpcCloseMemHandle, "cuIpcCloseMemHandle", (cmglu_cuda_address address))               \
  FUNCTION(cuStreamWaitEvent, "cuStreamWaitEvent",                                                 \
           (cmglu_cuda_stream stream, cmglu_cuda_event event, unsigned flags))                     \
  FUNCTION(cuStreamBeginCapture, "cuStreamBeginCapture_v2", (cmglu_cuda_stream stream, int mode))  \
  FUNCTION(cuStreamEndCapture, "cuStreamEndCapture",                                               \
           (cmglu_cuda_stream stream, cmglu_cuda_graph *graph))                                    \
  FUNCTION(cuEventCreate, "cuEventCreate", (cmglu_cuda_event *event, unsigned flags))              \
  FUNCTION(cuEventDestroy, "cuEventDestroy_v2", (cmglu_cuda_event event))                          \
  FUNCTION(cuEventRecord, "cuEventRecord", (cmglu_cuda_event event, cmglu_cuda_stream stream))     \
  FUNCTION(cuEventSynchronize, "cuEventSynchronize", (cmglu_cuda_event event))                     \
  FUNCTION(cuEventElapsedTime, "cuEventElapsedTime",                                               \
           (float *milliseconds, cmglu_cuda_event start, cmglu_cuda_event end))                    \
  FUNCTION(cuModuleLoadData, "cuModuleLoadData", (cmglu_cuda_module *module, const void *image))   \
  FUNCTION(cuModuleUnload, "cuModuleUnload", (cmglu_cuda_module module))                           \
  FUNCTION(cuModuleGetFunction, "cuModuleGetFunction",                                             \
           (cmglu_cuda_function *function, cmglu_cuda_module module, const char *name))            \
  FUNCTION(cuFuncGetAttribute, "cuFuncGetAttribute",                                               \
           (int *value, int attribute, cmglu_cuda_function function))                              \
  FUNCTION(cuFuncSetAttribute, "cuFuncSetAttribute",                                               \
           (cmglu_cuda_function function, int attribute, int value))                               \
  FUNCTION(cuOccupancyMaxActiveBlocksPerMultiprocessor,                                            \
           "cuOccupancyMaxActiveBlocksPerMultiprocessor",                                          \
           (int *blocks, cmglu_cuda_function function, int block_size, size_t shared_bytes))       \
  FUNCTION(cuLaunchKernelEx, "cuLaunchKernelEx",                                                   \
           (const cmglu_cuda_launch *launch, cmglu_cuda_function function, void **arguments,       \
            void **extra))                                                                         \
  FUNCTION(cuGraphInstantiateWithFlags, "cuGraphInstantiateWithFlags",                             \
           (cmglu_cuda_graph_exec * exec, cmglu_cuda_graph graph, unsigned long long flags))       \
  FUNCTION(cuGraphUpload, "cuGraphUpload", (cmglu_cuda_graph_exec exec, cmglu_cuda_stream stream)) \
  FUNCTION(cuGraphLaunch, "cuGraphLaunch", (cmglu_cuda_graph_exec exec, cmglu_cuda_stream stream)) \
  FUNCTION(cuGraphDestroy, "cuGraphDestroy", (cmglu_cuda_graph graph))                             \
  FUNCTION(cuGraphExecDestroy, "cuGraphExecDestroy", (cmglu_cuda_graph_exec exec))

// Functions that only newer drivers have, NULL elsewhere.
#define CMGLU_CUDA_NEWER_FUNCTIONS(FUNCTION)                                                      \
  FUNCTION(cuFuncGetParamInfo, "cuFuncGetParamInfo", /* 12.4 */                                   \
           (cmglu_cuda_function function, size_t index, size_t *offset, size_t *size))            \
  FUNCTION(cuTensorMapEncodeTiled, "cuTensorMapEncodeTiled", /* 12.0 */                           \
           (void *map, int type, uint32_t rank, cmglu_cuda_address address, const uint64_t *sizes, \
            const uint64_t *strides, const uint32_t *box, const uint32_t *steps, int interleave,  \
            int swizzle, int promotion, int fill))

#define CMGLU_CUDA_MEMBER(name, symbol, parameters) cmglu_cuda_result(*name) parameters;
typedef struct {
  CMGLU_CUDA_FUNCTIONS(CMGLU_CUDA_MEMBER)
  CMGLU_CUDA_NEWER_FUNCTIONS(CMGLU_CUDA_MEMBER)
} cmglu_cuda_driver;

// NVRTC -----------------------------------------------------------------------------------------

typedef struct _nvrtcProgram *cmglu_nvrtc_program;

#define CMGLU_NVRTC_FUNCTIONS(FUNCTION)                                                            \
  FUNCTION(nvrtcVersion, "nvrtcVersion", (int *major, int *minor))                                 \
  FUNCTION(nvrtcGetNumSupportedArchs, "nvrtcGetNumSupportedArchs", (int *count))                   \
  FUNCTION(nvrtcGetSupportedArchs, "nvrtcGetSupportedArchs", (int *architectures))                 \
  FUNCTION(nvrtcCreateProgram, "nvrtcCreateProgram",                                               \
           (cmglu_nvrtc_program * program, const char *source, const char *name, int header_count, \
            const char *const *headers, const char *const *names))                                 \
  FUNCTION(nvrtcDestroyProgram, "nvrtcDestroyProgram", (cmglu_nvrtc_program * program))            \
  FUNCTION(nvrtcCompileProgram, "nvrtcCompileProgram",                                             \
           (cmglu_nvrtc_program program, int option_count, const char *const *options))            \
  FUNCTION(nvrtcGetPTXSize, "nvrtcGetPTXSize", (cmglu_nvrtc_program program, size_t *size))        \
  FUNCTION(nvrtcGetPTX, "nvrtcGetPTX", (cmglu_nvrtc_program program, char *bytes))                 \
  FUNCTION(nvrtcGetCUBINSize, "nvrtcGetCUBINSize", (cmglu_nvrtc_program program, size_t *size))    \
  FUNCTION(nvrtcGetCUBIN, "nvrtcGetCUBIN", (cmglu_nvrtc_program program, char *bytes))             \
  FUNCTION(nvrtcGetProgramLogSize, "nvrtcGetProgramLogSize",                                       \
           (cmglu_nvrtc_program program, size_t *size))                                            \
  FUNCTION(nvrtcGetProgramLog, "nvrtcGetProgramLog", (cmglu_nvrtc_program program, char *bytes))

typedef struct {
  const char *(*nvrtcGetErrorString)(int result);
  CMGLU_NVRTC_FUNCTIONS(CMGLU_CUDA_MEMBER)
} cmglu_nvrtc;

// cuBLASLt --------------------------------------------------------------------------------------

typedef struct cublasLtContext *cmglu_lt_handle;
typedef struct cmglu_lt_desc_s *cmglu_lt_desc;
typedef struct cmglu_lt_layout_s *cmglu_lt_layout;
typedef struct cmglu_lt_preference_s *cmglu_lt_preference;

// cublasLtMatmulAlgo_t: plain values that mean the same to the same version of the library.
typedef struct {
  uint64_t data[8];
} cmglu_lt_algorithm;

// cublasLtMatmulHeuristicResult_t.
typedef struct {
  cmglu_lt_algorithm algorithm;
  size_t workspace_bytes;
  int state;
  float waves;
  int reserved[4];
} cmglu_lt_candidate;
_Static_assert(sizeof(void *) != 8 || sizeof(cmglu_lt_candidate) == 96,
               "cublasLtMatmulHeuristicResult_t");

enum {
  CMGLU_LT_COMPUTE_32F = 68,
  CMGLU_LT_R_32F = 0,
  CMGLU_LT_R_16BF = 14,
  CMGLU_LT_DESC_TRANSPOSE_A = 3,
  CMGLU_LT_DESC_TRANSPOSE_B = 4,
  CMGLU_LT_PREFERENCE_WORKSPACE = 1,
  CMGLU_LT_PREFERENCE_REDUCTIONS = 3,
  CMGLU_LT_PREFERENCE_ALIGNMENT_A = 5,  // then B, C, D
  CMGLU_LT_REDUCTION_FLOAT32 = 2,       // of parts of a sum, in the compute type
};

#define CMGLU_LT_FUNCTIONS(FUNCTION)                                                               \
  FUNCTION(cublasLtCreate, "cublasLtCreate", (cmglu_lt_handle * handle))                           \
  FUNCTION(cublasLtDestroy, "cublasLtDestroy", (cmglu_lt_handle handle))                           \
  FUNCTION(cublasLtMatmulDescCreate, "cublasLtMatmulDescCreate",                                   \
           (cmglu_lt_desc * desc, int compute_type, int scale_type))                               \
  FUNCTION(cublasLtMatmulDescDestroy, "cublasLtMatmulDescDestroy", (cmglu_lt_desc desc))           \
  FUNCTION(cublasLtMatmulDescSetAttribute, "cublasLtMatmulDescSetAttribute",                       \
           (cmglu_lt_desc desc, int attribute, const void *value, size_t size))                    \
  FUNCTION(cublasLtMatrixLayoutCreate, "cublasLtMatrixLayoutCreate",                               \
           (cmglu_lt_layout * layout, int type, uint64_t rows, uint64_t columns, int64_t stride))  \
  FUNCTION(cublasLtMatrixLayoutDestroy, "cublasLtMatrixLayoutDestroy", (cmglu_lt_layout layout))   \
  FUNCTION(cublasLtMatmulPreferenceCreate, "cublasLtMatmulPreferenceCreate",                       \
           (cmglu_lt_preference * preference))                                                     \
  FUNCTION(cublasLtMatmulPreferenceDestroy, "cublasLtMatmulPreferenceDestroy",                     \
           (cmglu_lt_preference preference))                                                       \
  FUNCTION(cublasLtMatmulPreferenceSetAttribute, "cublasLtMatmulPreferenceSetAttribute",           \
           (cmglu_lt_preference preference, int attribute, const void *value, size_t size))        \
  FUNCTION(cublasLtMatmulAlgoGetHeuristic, "cublasLtMatmulAlgoGetHeuristic",                       \
           (cmglu_lt_handle handle, cmglu_lt_desc desc, cmglu_lt_layout a, cmglu_lt_layout b,      \
            cmglu_lt_layout c, cmglu_lt_layout d, cmglu_lt_preference preference, int wanted,      \
            cmglu_lt_candidate *found, int *count))                                                \
  FUNCTION(cublasLtMatmulAlgoCheck, "cublasLtMatmulAlgoCheck",                                     \
           (cmglu_lt_handle handle, cmglu_lt_desc desc, cmglu_lt_layout a, cmglu_lt_layout b,      \
            cmglu_lt_layout c, cmglu_lt_layout d, const cmglu_lt_algorithm *algorithm,             \
            cmglu_lt_candidate *found))                                                            \
  FUNCTION(cublasLtMatmul, "cublasLtMatmul",                                                       \
           (cmglu_lt_handle handle, cmglu_lt_desc desc, const void *alpha,                         \
            cmglu_cuda_address a, cmglu_lt_layout a_layout, cmglu_cuda_address b,                  \
            cmglu_lt_layout b_layout, const void *beta, cmglu_cuda_address c,                      \
            cmglu_lt_layout c_layout, cmglu_cuda_address d, cmglu_lt_layout d_layout,              \
            const cmglu_lt_algorithm *algorithm, cmglu_cuda_address workspace,                     \
            size_t workspace_bytes, cmglu_cuda_stream stream))

typedef struct {
  size_t (*cublasLtGetVersion)(void);
  const char *(*cublasLtGetStatusName)(int status);
  CMGLU_LT_FUNCTIONS(CMGLU_CUDA_MEMBER)
} cmglu_lt;

// NCCL ------------------------------------------------------------------------------------------

typedef struct ncclComm *cmglu_nccl_comm;

// ncclUniqueId: passed by value.
typedef struct {
  char bytes[128];
} cmglu_nccl_id;

// ncclConfig_t of NCCL 2.18: later versions take defaults for what they know beyond `size`.
typedef struct {
  size_t size;
  unsigned magic, version;
  int blocking, cga_cluster_size, min_ctas, max_ctas;
  const char *net_name;
  int split_share;
  int traffic_class;  // of 2.25, in what was padding before
} cmglu_nccl_config;
_Static_assert(sizeof(void *) != 8 || sizeof(cmglu_nccl_config) == 48, "ncclConfig_t");

enum {
  CMGLU_NCCL_SUCCESS = 0,
  CMGLU_NCCL_IN_PROGRESS = 7,
  CMGLU_NCCL_UINT8 = 1,
};

#define CMGLU_NCCL_FUNCTIONS(FUNCTION)                                                             \
  FUNCTION(ncclGetVersion, "ncclGetVersion", (int *version))                                       \
  FUNCTION(ncclGetUniqueId, "ncclGetUniqueId", (cmglu_nccl_id * id))                               \
  FUNCTION(ncclCommInitRankConfig, "ncclCommInitRankConfig",                                       \
           (cmglu_nccl_comm * comm, int ranks, cmglu_nccl_id id, int rank,                         \
            cmglu_nccl_config *config))                                                            \
  FUNCTION(ncclCommGetAsyncError, "ncclCommGetAsyncError", (cmglu_nccl_comm comm, int *error))     \
  FUNCTION(ncclCommAbort, "ncclCommAbort", (cmglu_nccl_comm comm))                                 \
  FUNCTION(ncclGroupStart, "ncclGroupStart", (void))                                               \
  FUNCTION(ncclGroupEnd, "ncclGroupEnd", (void))                                                   \
  FUNCTION(ncclSend, "ncclSend",                                                                   \
           (cmglu_cuda_address from, size_t count, int type, int peer, cmglu_nccl_comm comm,       \
            cmglu_cuda_stream stream))                                                             \
  FUNCTION(ncclRecv, "ncclRecv",                                                                   \
           (cmglu_cuda_address to, size_t count, int type, int peer, cmglu_nccl_comm comm,         \
            cmglu_cuda_stream stream))

typedef struct {
  const char *(*ncclGetErrorString)(int result);
  const char *(*ncclGetLastError)(cmglu_nccl_comm comm);
  CMGLU_NCCL_FUNCTIONS(CMGLU_CUDA_MEMBER)
} cmglu_nccl;

// Begins to make a communicator, without waiting for the other ranks; the id is 128 bytes.
int cmglu_nccl_begin(const cmglu_nccl *nccl, cmglu_nccl_comm *comm, int ranks, const void *id,
                     int rank);
#undef CMGLU_CUDA_MEMBER

// The address of a symbol, or NULL.
typedef void *(*cmglu_lookup)(void *library, const char *symbol);

// Fills a table; returns the first symbol that is missing, or NULL where none is.
const char *cmglu_cuda_load(cmglu_cuda_driver *driver, cmglu_lookup lookup, void *library);
const char *cmglu_nvrtc_load(cmglu_nvrtc *nvrtc, cmglu_lookup lookup, void *library);
const char *cmglu_lt_load(cmglu_lt *lt, cmglu_lookup lookup, void *library);
const char *cmglu_nccl_load(cmglu_nccl *nccl, cmglu_lookup lookup, void *library);

// The file that `symbol` was loaded from, or NULL.
const char *cmglu_library_path(const void *symbol);

// Kernel sources --------------------------------------------------------------------------------

// Arguments of kernels, as their sources describe them; addresses are those of a GPU.
typedef uint64_t cmglu_address;

typedef struct {
  cmglu_address cells, x, output, routes, norm, staged, turns;
  int64_t output_stride;
  int32_t rows, columns, batch, pieces, input_type, output_type, activation, gating, accumulate;
  int32_t stages;
  int32_t places;
  float epsilon;
  int32_t is_chained, segment;
} cmglu_cuda_fused_linear;
_Static_assert(sizeof(cmglu_cuda_fused_linear) == 120, "FusedLinear of fused_linear.cu");

typedef struct {
  cmglu_address qkv, keys, values, output, cosine, sine, positions, slots, block_tables, tiles;
  cmglu_address partial, counters;
  int32_t heads, kv_heads, blocks_per_sequence, window, first_row, decodes;
  float scale;
  int32_t rows, team, longest;
} cmglu_cuda_attention;
_Static_assert(sizeof(cmglu_cuda_attention) == 136, "Attention of attention_step.cu");

// A layer of decode.cu.
typedef struct {
  cmglu_address qkv, output, up, down, input_norm, unit_norm, keys, values;
} cmglu_cuda_layer;

typedef struct {
  cmglu_address token, position, slot, block_tables;
  cmglu_address embedding, head, norm, residual, logits, cosine, sine, words;
  int32_t count, hidden, intermediate, vocabulary, heads, kv_heads, blocks_per_sequence;
  int32_t pieces, activation, gating, ring_bytes, stages;
  float scale, epsilon;
  cmglu_cuda_layer layers[48];
} cmglu_cuda_decode;
_Static_assert(sizeof(cmglu_cuda_decode) == 3224, "Decode of decode.cu");

typedef struct {
  cmglu_address qkv, output, log_sum_exp, upstream, gradient, scratch;
  int32_t length, kv_heads, window;
  float scale;
} cmglu_cuda_attention_train;
_Static_assert(sizeof(cmglu_cuda_attention_train) == 64, "AttentionTrain of attention_train.cu");

typedef struct {
  cmglu_address weights, gate, masks, x, routes, norm, output;
  int32_t rows, columns, mask_count, gating, activation, accumulate;
  float epsilon;
  int32_t output_stride;
} cmglu_cuda_plain;
_Static_assert(sizeof(cmglu_cuda_plain) == 88, "Plain of plain.cu");

// What a word that the GPU writes holds, once it is not `pending` any more or after some microseconds.
static inline int32_t cmglu_cuda_poll(const int32_t *word, int32_t pending) {
  int32_t value = pending;
  for (int i = 0; i < 1000 && value == pending; i++) {
    value = __atomic_load_n(word, __ATOMIC_ACQUIRE);
#if defined(__x86_64__)
    __builtin_ia32_pause();
#elif defined(__aarch64__)
    __asm__ volatile("yield");
#endif
  }
  return value;
}

// A CUDA source of this package, or a header that they include, embedded as text.
typedef struct {
  const char *name;    // the file's: read.cu
  const char *source;  // ends with a zero that `length` leaves out
  size_t length;
} cmglu_cuda_source;

// The sources from index 0 on; NULL after the last.
const cmglu_cuda_source *cmglu_cuda_source_at(int index);

#if defined(__cplusplus)
}
#endif
#endif
