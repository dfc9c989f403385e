// libmglu: the kernels of Masked Gated Linear Units for any language.
//
//     MGLU        a = sum_i p_i g(x (M_i (.) W)^T) (.) (x ((1 - M_i) (.) W)^T)
//     GLU         a = g(x Wg^T) (.) (x Wv^T)
//     shared GLU  a = g(x W^T) (.) (x W^T)
//     LU          a = g(x W^T)
//
// with x [n, h], W [d, h], a [n, d] and n_m masks M_i [d, h]; row-major, without gaps.
//
// The caller owns all memory and, on a GPU, the order of operations: pointers are those of the context's
// device, which is this machine or a GPU, and work is enqueued on the stream of the call. Nothing is
// copied to another device. A function returns MGLU_OK, or a code and, where `error` is not NULL, a line
// that says what was found and what was expected. Arguments are checked before anything is computed;
// what lies behind a pointer cannot be.
//
// A context serves any thread: calls wait for each other. On a CPU a call is done when it returns, and a
// forked child may go on with the contexts of its parent. A context of a GPU does not live on in a child.
//
// Structures that describe a unit or a call begin with their size in bytes, as sizeof tells it, so that they
// may grow at their end. The others stay as they are.
#ifndef MGLU_H
#define MGLU_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

// Raised when a function or a structure changes in a way that callers notice.
#define MGLU_ABI_VERSION 1

// What a function returns.
enum {
  MGLU_OK = 0,
  MGLU_INVALID_ARGUMENT = 1,  // a value that no call may have
  MGLU_UNSUPPORTED = 2,       // a value that this device has no kernel for
  MGLU_OUT_OF_MEMORY = 3,
  MGLU_DEVICE_ERROR = 4,  // a driver, a compiler or a GPU reported a failure
  MGLU_FORKED = 5,        // a GPU's context, in a child of the process that made it
};

// Types of elements.
enum { MGLU_FLOAT32 = 0, MGLU_FLOAT16 = 1, MGLU_BFLOAT16 = 2, MGLU_INT8 = 3 };

// Units. The last two are controls of the paper: one factor is x W^T without a mask.
enum {
  MGLU_LU = 0,
  MGLU_GLU = 1,
  MGLU_SHARED_GLU = 2,
  MGLU_MGLU = 3,
  MGLU_NO_GATE_MASK = 4,
  MGLU_NO_VALUE_MASK = 5,
};

// The gate activation g. MGLU_GELU is exact, MGLU_GELU_TANH its approximation, MGLU_RELU2 max(x, 0)^2.
enum {
  MGLU_SIGMOID = 0,
  MGLU_SILU = 1,
  MGLU_GELU = 2,
  MGLU_GELU_TANH = 3,
  MGLU_RELU = 4,
  MGLU_RELU2 = 5,
  MGLU_IDENTITY = 6,
};

typedef struct {
  int32_t code;
  char message[508];  // one line, ends with a zero
} mglu_error;

// MGLU_ABI_VERSION of the library.
int32_t mglu_abi_version(void);

// Contexts -------------------------------------------------------------------------------------------

typedef struct mglu_context mglu_context;

typedef struct {
  int64_t size;
  int32_t device;     // -1 for this machine's processor, else the number of a GPU, as in cuda:N
  int32_t threads;    // of the processor, the caller's included; 0 for as many as the process may use
  const char *nvrtc;  // the file of NVIDIA's run-time compiler, or NULL to have it looked for
} mglu_context_options;

// A new context in *context, for mglu_context_destroy. A GPU's shares the primary context, which CUDA's
// runtime and PyTorch use.
int32_t mglu_context_create(const mglu_context_options *options, mglu_context **context,
                            mglu_error *error);

// Frees a context whose calls have returned; NULL does nothing.
void mglu_context_destroy(mglu_context *context);

// Inference ------------------------------------------------------------------------------------------

typedef struct {
  int64_t size;
  int64_t rows;        // d
  int64_t columns;     // h
  int32_t kind;        // MGLU_LU ...
  int32_t masks;       // n_m, 1 to 16, of units with masks; else 0
  int32_t activation;  // MGLU_SIGMOID ...
  int32_t type;        // of the packed weights
} mglu_unit;

// Packed weights, whose layout only the device knows: regions of mglu_packed_sizes bytes each. Of one
// unit, they may be used by any context of that kind of device. A region of 0 bytes may be NULL.
//
// On a processor `weights` are the matrices as they are, one after the other, of the unit's type: where
// a caller has them so, they may be used in place, and only the words of masks be packed.
typedef struct {
  void *weights;
  void *scales;  // of MGLU_INT8 on a processor: FP16, one for 32 elements along a row
  void *words;
} mglu_packed;

typedef struct {
  int64_t weights, scales, words;
} mglu_sizes;

int32_t mglu_packed_sizes(mglu_context *context, const mglu_unit *unit, mglu_sizes *sizes,
                          mglu_error *error);

typedef struct {
  int64_t size;
  int32_t type;            // of the matrices
  const void *weights[2];  // W [d, h], or the gate's and the value's; NULL to pack masks alone
  const void *scales[2];   // of MGLU_INT8: FP16 [d, ceil(h / 32)]
  const uint8_t *masks;    // bits [n_m, d, ceil(h / 8)], least significant first; NULL without masks
  void *stream;            // CUstream, or NULL
} mglu_source;

// Converts and orders matrices and bits into `packed`. Rounds to nearest, ties to even. A GPU packs MGLU_INT8
// of MGLU_INT8, and MGLU_FLOAT32 of MGLU_FLOAT32.
int32_t mglu_pack(mglu_context *context, const mglu_unit *unit, const mglu_source *source,
                  const mglu_packed *packed, mglu_error *error);

typedef struct {
  int64_t size;
  int64_t n;            // rows of x, 0 or more
  int64_t prompt_rows;  // of these, the last so many may be computed together, in another order of sums
  const void *x;        // [n, h]
  const float *routes;  // p [n, n_m], or NULL for p = 1
  void *output;         // a [n, d]
  int32_t x_type, output_type;  // not MGLU_INT8; of float32 weights on a GPU both MGLU_FLOAT32
  int32_t narrows_inputs;  // 1: products see x as narrow as the weights (INT8: in groups of 8-bit integers)
  int32_t starts_early;    // 1: a GPU may read weights before what was enqueued earlier is done
  void *workspace;         // mglu_workspace_size bytes; calls on one stream may share them
  int64_t workspace_size;
  void *stream;  // CUstream, or NULL for the default stream
} mglu_fused_linear_call;

// Bytes of workspace that a call with these n, prompt_rows, types and inputs needs.
int32_t mglu_workspace_size(mglu_context *context, const mglu_unit *unit,
                            const mglu_fused_linear_call *call, int64_t *size, mglu_error *error);

// a = the unit over x: one pass over weights and bits for all rows. A row's result does not depend on
// the rows beside it.
int32_t mglu_fused_linear(mglu_context *context, const mglu_unit *unit, const mglu_packed *packed,
                          const mglu_fused_linear_call *call, mglu_error *error);

// Compiles and loads what calls with up to call->n rows, and up to call->prompt_rows of prompts, need, so
// that they may be captured in a graph; with routes where call->routes is not NULL. Nothing is read.
int32_t mglu_prepare(mglu_context *context, const mglu_unit *unit, const mglu_fused_linear_call *call,
                     mglu_error *error);

// Training -------------------------------------------------------------------------------------------
//
// A unit is one product with its wide weights [streams d, h], and a pass over the streams [n, streams d]:
// for masks [s_1 ... s_m, t] with the stack of mglu_stack, for a GLU [s, v] with Wg over Wv, else [t]
// with W. On a processor everything is float32. On a GPU stack, streams, a and their gradients are
// bfloat16; W, mask logits, routes and the gradients of W, logits, routes and stack are float32.

// stack [(m + 1) d, h] = [M_1 (.) W; ...; M_m (.) W; W], M_i = 1 where L_i > 0; count is d h.
int32_t mglu_stack(mglu_context *context, int32_t masks, int64_t count, const float *weight,
                   const float *logits, void *stack, void *stream, mglu_error *error);

// dW += sum_i M_i (.) P_i + Q and dL_i += W (.) P_i (straight-through), where the stack's gradient is
// [P_1; ...; P_m; Q]. logits_gradient may be NULL.
int32_t mglu_unstack(mglu_context *context, int32_t masks, int64_t count, const float *stack_gradient,
                     const float *weight, const float *logits, float *weight_gradient,
                     float *logits_gradient, void *stream, mglu_error *error);

typedef struct {
  int64_t size;
  int64_t n;           // rows
  int64_t width;       // d
  int32_t kind;        // MGLU_LU ...
  int32_t masks;       // n_m of units with masks; else 0
  int32_t activation;  // MGLU_SIGMOID ...
  const float *routes;  // p [n, n_m], or NULL for p = 1
  const void *streams;  // [n, streams d]
  void *a;              // [n, d], which mglu_combine writes
  const void *a_gradient;  // [n, d]
  void *streams_gradient;  // may be the streams
  float *routes_gradient;  // [n, n_m] where there are routes
  void *stream;
} mglu_combine_call;

// a from the streams.
int32_t mglu_combine(mglu_context *context, const mglu_combine_call *call, mglu_error *error);
// The gradients of streams and routes from that of a.
int32_t mglu_combine_backward(mglu_context *context, const mglu_combine_call *call, mglu_error *error);

// routes [n, m] = softmax over the top_k largest of each row of logits, 0 elsewhere; of equal logits the
// lower index counts as larger. float32.
int32_t mglu_route(mglu_context *context, int64_t n, int32_t masks, int32_t top_k, const float *logits,
                   float *routes, void *stream, mglu_error *error);

// PyTorch --------------------------------------------------------------------------------------------

// Implements the operators mglu::fused_linear, fused_linear_plain, stack, unstack, combine and
// combine_backward, whose schemas the caller has defined, for processors and GPUs, through the stable C
// interface of torch 2.9 and newer:
// MGLU_UNSUPPORTED where it is not there. `libraries` is the folder of libtorch_cpu, which the process
// has loaded; `nvrtc` is as in mglu_context_options.
int32_t mglu_torch_register(const char *libraries, const char *nvrtc, mglu_error *error);

// The context in which these operators compute on processors. GPUs get contexts at their first use.
int32_t mglu_torch_use(mglu_context *context, mglu_error *error);

// The context of a GPU in which these operators compute.
int32_t mglu_torch_context(int32_t device, mglu_context **context, mglu_error *error);

#ifdef __cplusplus
}
#endif
#endif
