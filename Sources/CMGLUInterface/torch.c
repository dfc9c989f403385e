// Operators of PyTorch over the interface, through the C functions that libtorch keeps stable. They are
// looked up in the process: nothing of torch is needed to build or to load this library.
//
// A call through the dispatcher then costs no Python. What a kernel cannot do becomes an exception by
// aoti_torch_check, which unwinds through this file as its last act.
#include "mglu.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

typedef uint64_t value;          // StableIValue
typedef void *tensor;            // AtenTensorHandle
typedef void (*kernel)(value *, uint64_t, uint64_t);

// Functions of libtorch_cpu; those that may fail return 0 for success.
#define TORCH_FUNCTIONS(F)                                                                   \
  F(int32_t, aoti_torch_dtype_float32, (void))                                               \
  F(int32_t, aoti_torch_dtype_float16, (void))                                               \
  F(int32_t, aoti_torch_dtype_bfloat16, (void))                                              \
  F(int32_t, aoti_torch_dtype_int8, (void))                                                  \
  F(int32_t, aoti_torch_dtype_uint8, (void))                                                 \
  F(int32_t, aoti_torch_dtype_int64, (void))                                                 \
  F(int32_t, aoti_torch_device_type_cuda, (void))                                            \
  F(int32_t, aoti_torch_delete_tensor_object, (tensor))                                      \
  F(int32_t, aoti_torch_get_data_ptr, (tensor, void **))                                     \
  F(int32_t, aoti_torch_get_dim, (tensor, int64_t *))                                        \
  F(int32_t, aoti_torch_get_numel, (tensor, int64_t *))                                      \
  F(int32_t, aoti_torch_get_sizes, (tensor, int64_t **))                                     \
  F(int32_t, aoti_torch_get_dtype, (tensor, int32_t *))                                      \
  F(int32_t, aoti_torch_get_device_type, (tensor, int32_t *))                                \
  F(int32_t, aoti_torch_get_device_index, (tensor, int32_t *))                               \
  F(int32_t, aoti_torch_is_contiguous, (tensor, bool *))                                     \
  F(int32_t, aoti_torch_empty_strided,                                                       \
    (int64_t, const int64_t *, const int64_t *, int32_t, int32_t, int32_t, tensor *))        \
  F(int32_t, aoti_torch_clone, (tensor, tensor *))                                           \
  F(int32_t, aoti_torch_zero_, (tensor))                                                     \
  F(int32_t, aoti_torch_library_init_impl,                                                   \
    (const char *, const char *, const char *, uint32_t, void **))                           \
  F(int32_t, aoti_torch_library_impl, (void *, const char *, kernel))                        \
  F(void, aoti_torch_check, (bool, const char *, const char *, uint32_t, const char *))

static struct {
#define DECLARE(result, name, parameters) result(*name) parameters;
  TORCH_FUNCTIONS(DECLARE)
#undef DECLARE
  int32_t (*current_stream)(int32_t, void **);
} torch;

// torch's numbers of MGLU_FLOAT32 ..., and of what words are made of.
enum { UINT8 = MGLU_INT8 + 1, INT64, TYPES };
static int32_t types[TYPES];
static const int64_t widths[TYPES] = {4, 2, 2, 1, 1, 8};
static int32_t cuda;      // torch's number of the kind of device
static char nvrtc_file[4096];

enum { MAX_GPUS = 64 };
static _Atomic(mglu_context *) processor;
static _Atomic(mglu_context *) gpus[MAX_GPUS];

static int32_t fail(mglu_error *error, int32_t code, const char *line) {
  if (error) {
    error->code = code;
    snprintf(error->message, sizeof error->message, "%s", line);
  }
  return code;
}

int32_t mglu_torch_context(int32_t device, mglu_context **context, mglu_error *error) {
  if (!context || device < 0 || device >= MAX_GPUS)
    return fail(error, MGLU_INVALID_ARGUMENT, "a GPU's number is 0 to 63");
  mglu_context *found = atomic_load_explicit(&gpus[device], memory_order_acquire);
  if (!found) {
    const mglu_context_options options = {sizeof options, device, 1,
                                          nvrtc_file[0] ? nvrtc_file : NULL};
    const int32_t code = mglu_context_create(&options, &found, error);
    if (code) return code;
    mglu_context *other = NULL;
    if (!atomic_compare_exchange_strong(&gpus[device], &other, found)) {
      mglu_context_destroy(found);
      found = other;
    }
  }
  *context = found;
  return MGLU_OK;
}

int32_t mglu_torch_use(mglu_context *context, mglu_error *error) {
  if (!context) return fail(error, MGLU_INVALID_ARGUMENT, "the context is NULL");
  atomic_store_explicit(&processor, context, memory_order_release);
  return MGLU_OK;
}

// A call of an operator: its tensors, where it computes, and what went wrong.
typedef struct {
  tensor tensors[8];
  int count;
  mglu_context *context;
  void *stream;
  int32_t device_type, device_index;
  mglu_error error;
} operation;

typedef struct {
  void *data;
  int64_t dim, numel;
  int64_t *sizes;
  int32_t type;  // MGLU_FLOAT32 ..., UINT8, INT64, or -1
} view;

static int complain(operation *op, const char *line) {
  if (!op->error.code) fail(&op->error, MGLU_INVALID_ARGUMENT, line);
  return 0;
}

// What there is to know of a tensor; 0 after an error.
static int look(operation *op, tensor from, view *to, const char *name) {
  int32_t type = -1, device_type = 0, device_index = -1;
  bool contiguous = false;
  char line[128];
  if (torch.aoti_torch_get_data_ptr(from, &to->data) || torch.aoti_torch_get_dim(from, &to->dim) ||
      torch.aoti_torch_get_numel(from, &to->numel) || torch.aoti_torch_get_sizes(from, &to->sizes) ||
      torch.aoti_torch_get_dtype(from, &type) ||
      torch.aoti_torch_get_device_type(from, &device_type) ||
      torch.aoti_torch_get_device_index(from, &device_index) ||
      torch.aoti_torch_is_contiguous(from, &contiguous)) {
    snprintf(line, sizeof line, "%s: torch tells nothing of it", name);
    return complain(op, line);
  }
  to->type = -1;
  for (int i = 0; i < TYPES; i++)
    if (types[i] == type) to->type = i;
  if (to->numel == 0) return 1;
  if (!contiguous) {
    snprintf(line, sizeof line, "%s: expected contiguous memory", name);
    return complain(op, line);
  }
  if (!op->context) {
    op->device_type = device_type, op->device_index = device_index;
    if (device_type != cuda) {
      op->context = atomic_load_explicit(&processor, memory_order_acquire);
      if (!op->context) return complain(op, "no context was named for processors");
    } else {
      if (mglu_torch_context(device_index, &op->context, &op->error)) return 0;
      if (!torch.current_stream || torch.current_stream(device_index, &op->stream))
        return complain(op, "torch has no current stream of CUDA");
    }
  } else if (device_type != op->device_type || device_index != op->device_index) {
    snprintf(line, sizeof line, "%s: on another device than the first tensor", name);
    return complain(op, line);
  }
  return 1;
}

// A new tensor, which belongs to the caller unless the operation fails.
static tensor make(operation *op, int64_t dim, const int64_t *sizes, int32_t type) {
  int64_t strides[16], stride = 1;
  for (int64_t i = dim - 1; i >= 0; i--) strides[i] = stride, stride *= sizes[i] > 0 ? sizes[i] : 1;
  tensor made = NULL;
  if (torch.aoti_torch_empty_strided(dim, sizes, strides, types[type], op->device_type,
                                     op->device_index, &made)) {
    fail(&op->error, MGLU_OUT_OF_MEMORY, "torch allocates no memory for the result");
    return NULL;
  }
  return made;
}

static void *data_of(tensor from) {
  void *data = NULL;
  if (from) torch.aoti_torch_get_data_ptr(from, &data);
  return data;
}

// The first `count` arguments are tensors, which now belong to the operation.
static operation begin(const value *stack, int count) {
  operation op = {.count = count};
  for (int i = 0; i < count; i++) op.tensors[i] = (tensor)(uintptr_t)stack[i];
  return op;
}

// Lets go of the arguments, and of the results too where something went wrong.
static void finish(operation *op, value *stack, tensor first, tensor second) {
  for (int i = 0; i < op->count; i++) torch.aoti_torch_delete_tensor_object(op->tensors[i]);
  if (op->error.code) {
    if (first) torch.aoti_torch_delete_tensor_object(first);
    if (second) torch.aoti_torch_delete_tensor_object(second);
    torch.aoti_torch_check(false, "mglu", __FILE__, __LINE__, op->error.message);
  }
  stack[0] = (value)(uintptr_t)first;
  if (second) stack[1] = (value)(uintptr_t)second;
}

static int same(operation *op, const view *tensor, int64_t numel, int32_t type, const char *name) {
  char line[160];
  if (tensor->numel == numel && (type < 0 || tensor->type == type)) return 1;
  snprintf(line, sizeof line, "%s: %lld elements of type %d, expected %lld of type %d", name,
           (long long)tensor->numel, tensor->type, (long long)numel, type);
  return complain(op, line);
}

// From so many rows on they are computed together, on processors with matrix instructions and on GPUs with
// wgmma: 64 rows over 14336 x 4096 take an H100 58 us in place of 65 with 1 mask, and 68 in place of 117
// with 4 (2026-11-26).
enum { PROMPT_ROWS = 16, GPU_PROMPT_ROWS = 64 };

// A pass over packed weights. Its arguments are tensors x, weight, words and, where it is full, scales and
// routes, then int unit: its kind and, shifted by 4, 8, 16, 17, 18 and 24 bits, its activation, its masks,
// whether inputs are narrowed, whether they are unless they are float32, its columns modulo 64, which the
// size of a GPU's cells leaves open, and its rows. As one number, for an argument costs a call 100 to 200 ns.
static void pass(value *stack, bool is_full) {
  const int count = is_full ? 5 : 3;
  operation op = begin(stack, count);
  const int64_t number = (int64_t)stack[count], rows = number >> 24;
  tensor output = NULL, workspace = NULL, aligned = NULL;
  view x, weight, words, scales = {0}, routes = {0};
  const bool looked =
      look(&op, op.tensors[1], &weight, "weight") && look(&op, op.tensors[0], &x, "x") &&
      look(&op, op.tensors[2], &words, "words") &&
      (!is_full || (look(&op, op.tensors[3], &scales, "scales") &&
                    look(&op, op.tensors[4], &routes, "routes")));
  if (looked && (!op.context || weight.type < 0 || weight.type > MGLU_INT8 || x.type < 0 ||
                 x.type > MGLU_BFLOAT16 || x.dim < 1 || x.dim > 15))
    complain(&op, "x and weight are of float32, float16 or bfloat16, and x has 1 to 15 dimensions");
  if (!op.error.code && x.sizes[x.dim - 1] % 64 != (number >> 18 & 63))
    complain(&op, "x has another number of columns than the weights");
  if (!op.error.code) {
    const int64_t columns = x.sizes[x.dim - 1];
    const mglu_unit unit = {sizeof unit,
                            rows,
                            columns,
                            (int32_t)(number & 15),
                            (int32_t)(number >> 8 & 255),
                            (int32_t)(number >> 4 & 15),
                            weight.type};
    int64_t sizes[16];
    memcpy(sizes, x.sizes, x.dim * sizeof *sizes);
    sizes[x.dim - 1] = rows;
    mglu_sizes regions;
    mglu_fused_linear_call call = {
        .size = sizeof call, .n = columns > 0 ? x.numel / columns : 0, .x = x.data,
        .routes = routes.numel ? routes.data : NULL, .x_type = x.type, .output_type = x.type,
        .narrows_inputs = (number >> 16 & 1) || ((number >> 17 & 1) && x.type != MGLU_FLOAT32),
        .stream = op.stream};
    if (call.n >= (op.device_type == cuda ? GPU_PROMPT_ROWS : PROMPT_ROWS)) call.prompt_rows = call.n;
    if (!mglu_packed_sizes(op.context, &unit, &regions, &op.error)) {
      const int32_t word = op.device_type == cuda ? UINT8 : INT64;
      if (weight.numel * widths[weight.type] != regions.weights ||
          scales.numel * 2 != regions.scales || words.numel * widths[word] != regions.words ||
          (scales.numel && scales.type != MGLU_FLOAT16) || (words.numel && words.type != word))
        complain(&op, "packed weights of another unit or another device");
      if (routes.numel) same(&op, &routes, call.n * unit.masks, MGLU_FLOAT32, "routes");
    }
    if (!op.error.code && op.device_type == cuda) {
      if ((uintptr_t)x.data % 16 && !torch.aoti_torch_clone(op.tensors[0], &aligned))
        call.x = data_of(aligned);
      int64_t size = 0;
      mglu_workspace_size(op.context, &unit, &call, &size, &op.error);
      if (!op.error.code && size > 0) {
        const int64_t elements = (size + 3) / 4;
        workspace = make(&op, 1, &elements, MGLU_FLOAT32);
        call.workspace = data_of(workspace), call.workspace_size = size;
      }
    }
    if (!op.error.code && (output = make(&op, x.dim, sizes, x.type))) {
      const mglu_packed packed = {weight.data, scales.data, words.data};
      call.output = data_of(output);
      mglu_fused_linear(op.context, &unit, &packed, &call, &op.error);
    }
  }
  if (workspace) torch.aoti_torch_delete_tensor_object(workspace);
  if (aligned) torch.aoti_torch_delete_tensor_object(aligned);
  finish(&op, stack, output, NULL);
}

// fused_linear(Tensor x, Tensor weight, Tensor words, Tensor scales, Tensor routes, int unit) -> Tensor
static void fused_linear(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  pass(stack, true);
}

// fused_linear_plain(Tensor x, Tensor weight, Tensor words, int unit) -> Tensor
static void fused_linear_plain(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  pass(stack, false);
}

// The type of streams and stacks on the device of an operation.
static int32_t product_type(const operation *op) {
  return op->device_type == cuda ? MGLU_BFLOAT16 : MGLU_FLOAT32;
}

// stack(Tensor weight, Tensor logits) -> Tensor
static void stack_masked(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  operation op = begin(stack, 2);
  tensor output = NULL;
  view weight, logits;
  if (look(&op, op.tensors[0], &weight, "weight") && look(&op, op.tensors[1], &logits, "logits")) {
    if (weight.dim != 2 || logits.dim != 3 || !op.context) {
      complain(&op, "expected weight [d, h] and logits [n_m, d, h]");
    } else if (same(&op, &weight, weight.numel, MGLU_FLOAT32, "weight") &&
               same(&op, &logits, logits.sizes[0] * weight.numel, MGLU_FLOAT32, "logits")) {
      const int64_t masks = logits.sizes[0];
      const int64_t sizes[2] = {(masks + 1) * weight.sizes[0], weight.sizes[1]};
      if ((output = make(&op, 2, sizes, product_type(&op))))
        mglu_stack(op.context, (int32_t)masks, weight.numel, weight.data, logits.data,
                   data_of(output), op.stream, &op.error);
    }
  }
  finish(&op, stack, output, NULL);
}

// unstack(Tensor stack_gradient, Tensor weight, Tensor logits) -> (Tensor, Tensor)
static void unstack(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  operation op = begin(stack, 3);
  tensor weight_gradient = NULL, logits_gradient = NULL;
  view gradient, weight, logits;
  if (look(&op, op.tensors[0], &gradient, "stack_gradient") &&
      look(&op, op.tensors[1], &weight, "weight") && look(&op, op.tensors[2], &logits, "logits")) {
    if (weight.dim != 2 || logits.dim != 3 || !op.context) {
      complain(&op, "expected weight [d, h] and logits [n_m, d, h]");
    } else if (same(&op, &weight, weight.numel, MGLU_FLOAT32, "weight") &&
               same(&op, &logits, logits.sizes[0] * weight.numel, MGLU_FLOAT32, "logits") &&
               same(&op, &gradient, (logits.sizes[0] + 1) * weight.numel, MGLU_FLOAT32,
                    "stack_gradient") &&
               (weight_gradient = make(&op, 2, weight.sizes, MGLU_FLOAT32)) &&
               (logits_gradient = make(&op, 3, logits.sizes, MGLU_FLOAT32))) {
      torch.aoti_torch_zero_(weight_gradient);
      torch.aoti_torch_zero_(logits_gradient);
      mglu_unstack(op.context, (int32_t)logits.sizes[0], weight.numel, gradient.data, weight.data,
                   logits.data, data_of(weight_gradient), data_of(logits_gradient), op.stream,
                   &op.error);
    }
  }
  finish(&op, stack, weight_gradient, logits_gradient);
}

// A call of the combining passes over streams [..., streams d]; the routes may be empty.
static int combining(operation *op, const view *streams, const view *routes, int64_t kind,
                     int64_t masks, int64_t activation, mglu_combine_call *call) {
  const int64_t count = kind == MGLU_GLU ? 2 : kind >= MGLU_MGLU ? masks + 1 : 1;
  if (!op->context || masks < 0 || masks > 16 || streams->dim < 1 || streams->dim > 15 ||
      streams->type != product_type(op) || streams->sizes[streams->dim - 1] % count)
    return complain(op, "expected streams [..., streams d] of float32 on a processor, of bfloat16 "
                        "on a GPU");
  const int64_t width = streams->sizes[streams->dim - 1] / count;
  *call = (mglu_combine_call){
      .size = sizeof *call, .n = width > 0 ? streams->numel / (width * count) : 0, .width = width,
      .kind = (int32_t)kind, .masks = (int32_t)masks, .activation = (int32_t)activation,
      .routes = routes->numel ? routes->data : NULL, .streams = streams->data, .stream = op->stream};
  return !routes->numel || same(op, routes, call->n * masks, MGLU_FLOAT32, "routes");
}

// combine(Tensor streams, Tensor routes, int kind, int masks, int activation) -> Tensor
static void combine(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  operation op = begin(stack, 2);
  tensor output = NULL;
  view streams, routes;
  mglu_combine_call call;
  if (look(&op, op.tensors[0], &streams, "streams") && look(&op, op.tensors[1], &routes, "routes") &&
      combining(&op, &streams, &routes, (int64_t)stack[2], (int64_t)stack[3], (int64_t)stack[4],
                &call)) {
    int64_t sizes[16];
    memcpy(sizes, streams.sizes, streams.dim * sizeof *sizes);
    sizes[streams.dim - 1] = call.width;
    if ((output = make(&op, streams.dim, sizes, streams.type))) {
      call.a = data_of(output);
      mglu_combine(op.context, &call, &op.error);
    }
  }
  finish(&op, stack, output, NULL);
}

// combine_backward(Tensor gradient, Tensor streams, Tensor routes, int kind, int masks, int activation)
//     -> (Tensor, Tensor)
static void combine_backward(value *stack, uint64_t arguments, uint64_t results) {
  (void)arguments, (void)results;
  operation op = begin(stack, 3);
  tensor streams_gradient = NULL, routes_gradient = NULL;
  view gradient, streams, routes;
  mglu_combine_call call;
  if (look(&op, op.tensors[0], &gradient, "gradient") &&
      look(&op, op.tensors[1], &streams, "streams") && look(&op, op.tensors[2], &routes, "routes") &&
      combining(&op, &streams, &routes, (int64_t)stack[3], (int64_t)stack[4], (int64_t)stack[5],
                &call) &&
      same(&op, &gradient, call.n * call.width, streams.type, "gradient") &&
      (streams_gradient = make(&op, streams.dim, streams.sizes, streams.type)) &&
      (routes_gradient = make(&op, routes.dim, routes.sizes, MGLU_FLOAT32))) {
    call.a_gradient = gradient.data;
    call.streams_gradient = data_of(streams_gradient);
    call.routes_gradient = routes.numel ? data_of(routes_gradient) : NULL;
    mglu_combine_backward(op.context, &call, &op.error);
  }
  finish(&op, stack, streams_gradient, routes_gradient);
}

int32_t mglu_torch_register(const char *libraries, const char *nvrtc, mglu_error *error) {
  static const struct {
    const char *name;
    kernel function;
  } kernels[] = {{"fused_linear", fused_linear},
                 {"fused_linear_plain", fused_linear_plain},
                 {"stack", stack_masked},
                 {"unstack", unstack},
                 {"combine", combine},
                 {"combine_backward", combine_backward}};
  static const char *const keys[] = {"CPU", "CUDA"};
  char file[4096], line[256];
  if (!libraries) return fail(error, MGLU_INVALID_ARGUMENT, "the folder of torch's libraries: NULL");
  snprintf(nvrtc_file, sizeof nvrtc_file, "%s", nvrtc ? nvrtc : "");
  snprintf(file, sizeof file, "%s/libtorch_cpu.so", libraries);
  void *library = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
  if (!library) return fail(error, MGLU_UNSUPPORTED, "the process has not loaded libtorch_cpu");
#define LOOK_UP(result, name, parameters)                                   \
  if (!(*(void **)&torch.name = dlsym(library, #name))) {                    \
    snprintf(line, sizeof line, "torch lacks %s: 2.9 or newer has it", #name); \
    return fail(error, MGLU_UNSUPPORTED, line);                              \
  }
  TORCH_FUNCTIONS(LOOK_UP)
#undef LOOK_UP
  snprintf(file, sizeof file, "%s/libtorch_cuda.so", libraries);
  void *gpu = dlopen(file, RTLD_NOW | RTLD_NOLOAD);
  if (gpu) *(void **)&torch.current_stream = dlsym(gpu, "aoti_torch_get_current_cuda_stream");
  types[MGLU_FLOAT32] = torch.aoti_torch_dtype_float32();
  types[MGLU_FLOAT16] = torch.aoti_torch_dtype_float16();
  types[MGLU_BFLOAT16] = torch.aoti_torch_dtype_bfloat16();
  types[MGLU_INT8] = torch.aoti_torch_dtype_int8();
  types[UINT8] = torch.aoti_torch_dtype_uint8();
  types[INT64] = torch.aoti_torch_dtype_int64();
  cuda = torch.aoti_torch_device_type_cuda();
  for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
    // The operators are implemented as long as the process lives.
    void *handle = NULL;
    if (torch.aoti_torch_library_init_impl("mglu", keys[k], __FILE__, __LINE__, &handle))
      return fail(error, MGLU_UNSUPPORTED, "torch opens no library of operators");
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; i++)
      if (torch.aoti_torch_library_impl(handle, kernels[i].name, kernels[i].function)) {
        snprintf(line, sizeof line, "torch takes no implementation of %s", kernels[i].name);
        return fail(error, MGLU_UNSUPPORTED, line);
      }
  }
  return MGLU_OK;
}
