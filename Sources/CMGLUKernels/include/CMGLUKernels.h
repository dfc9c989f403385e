// CMGLUKernels: the arithmetic of the CPU backend, one table of functions per instruction set.
//
// Every tensor is float32, row-major and contiguous. Functions work on the rows or elements
// [begin, end) that the caller hands them, touch no global state and allocate nothing unless
// said otherwise, so that any number of threads may call them on disjoint ranges.
#ifndef CMGLU_KERNELS_H
#define CMGLU_KERNELS_H

#include <stdbool.h>
#include <stdint.h>

#include "cmglu_cuda.h"
#include "cmglu_files.h"
#include "cmglu_mapping.h"
#include "cmglu_numbers.h"
#include "cmglu_tensor_maps.h"

#if defined(__cplusplus)
extern "C" {
#endif

// Norms side by side in a row: how many, and the elements from one row to the next.
typedef struct {
  int64_t count, stride;
} cmglu_norm_parts;

typedef struct {
  const char *name;  // as accepted by MGLU_ISA
  int lanes;         // float32 lanes of a vector

  // Feed-forward units -------------------------------------------------------------------------

  // a[row, j] from streams[row, stream, j]; routes[row, i] are the weights p_i, or NULL for 1.
  void (*combine)(cmglu_gating gating, cmglu_activation g, int64_t masks, int64_t width,
                  const float *streams, const float *routes, float *a, int64_t begin, int64_t end);
  // Upstream da -> dstreams (may be the same memory as streams) and, where routes is given,
  // droutes[row, i] (overwritten).
  void (*combine_backward)(cmglu_gating gating, cmglu_activation g, int64_t masks, int64_t width,
                           const float *streams, const float *routes, const float *da,
                           float *dstreams, float *droutes, int64_t begin, int64_t end);
  // stack = [M_1 (.) W; ...; M_n (.) W; W] on elements [begin, end) of W, planes `size` apart.
  void (*stack_masked)(const float *w, const float *logits, float *stack, int64_t masks,
                       int64_t size, int64_t begin, int64_t end);
  // dW += sum_i M_i (.) P_i + Q and, unless dlogits is NULL, dL_i += W (.) P_i,
  // from dstack = [P_1; ...; P_n; Q]; = in place of += unless it `accumulates`.
  void (*unstack_gradient)(const float *w, const float *logits, const float *dstack, float *dw,
                           float *dlogits, bool accumulates, int64_t masks, int64_t size,
                           int64_t begin, int64_t end);
  // routes = softmax over the k largest of logits[row, masks], 0 elsewhere; ties: lower index.
  void (*route)(const float *logits, float *routes, int64_t masks, int64_t k, int64_t begin,
                int64_t end);
  // dlogits = p (.) (dp - sum_k p_k dp_k); may overwrite droutes.
  void (*route_backward)(const float *routes, const float *droutes, float *dlogits, int64_t masks,
                         int64_t begin, int64_t end);

  // Decoder ------------------------------------------------------------------------------------

  // y = weight (.) x * r, r = 1 / sqrt(mean(x^2) + eps), kept in inverse_rms[index], for the norms
  // of index begin to end, of which each row has `parts.count`; y may be x.
  void (*rms_norm)(const float *x, const float *weight, float eps, float *y, float *inverse_rms,
                   cmglu_norm_parts parts, int64_t width, int64_t begin, int64_t end);
  // dx = the gradient, or dx += it where it `adds`; dweight[width] += this range's share.
  void (*rms_norm_backward)(const float *dy, const float *x, const float *weight,
                            const float *inverse_rms, float *dx, float *dweight, bool adds,
                            cmglu_norm_parts parts, int64_t width, int64_t begin, int64_t end);
  // Rotates the first `rotary_size` elements of `heads` heads of each row in place by the angle of
  // its position (halves, as Hugging Face): rows are `stride` apart, row r has position positions[r],
  // cosine and sine are [position, rotary_size / 2]. `direction` 1 rotates, -1 rotates back.
  void (*rope)(float *x, int64_t stride, int64_t heads, int64_t head_size, int64_t rotary_size,
               const int32_t *positions, const float *cosine, const float *sine, float direction,
               int64_t begin, int64_t end);
  // scores[row, 0 ..< length] -> probabilities exp(scale s - log_sum_exp), zero up to `width`;
  // returns log_sum_exp.
  float (*softmax_row)(float *scores, float scale, int64_t length, int64_t width);
  // The same from a known log_sum_exp.
  void (*probability_row)(float *scores, float scale, float log_sum_exp, int64_t length,
                          int64_t width);
  // dscores = p (.) (dp - delta) * scale, in place over dp.
  void (*softmax_row_backward)(const float *p, float *dp, float delta, float scale,
                               int64_t length);
  float (*dot)(const float *a, const float *b, int64_t count);
  // out[size] = softmax(scale q K^T) V over the positions [first, end) of a sequence, whose keys and
  // values lie in blocks of CMGLU_KEY_BLOCK positions: position p in the block with the number
  // blocks[p / CMGLU_KEY_BLOCK], of blocks that begin `block_stride` floats apart. scores[end - first]
  // is overwritten.
  void (*attend)(const float *query, const float *keys, const float *values, const int32_t *blocks,
                 int64_t block_stride, int64_t size, int64_t first, int64_t end, float scale,
                 float *scores, float *out);
  // The same for up to CMGLU_ATTENDING_ROWS rows of a prompt and the `heads` heads that share keys and
  // values, which lie side by side in rows of queries and of out: row r sees positions up to
  // position + r, at most `window` of them. `scratch` has `cmglu_attending_scratch` floats. A result
  // depends on its own row alone, and has other bits than that of `attend`.
  void (*attend_rows)(const float *queries, int64_t query_stride, int64_t heads, int64_t rows,
                      const float *keys, const float *values, const int32_t *blocks,
                      int64_t block_stride, int64_t size, int64_t position, int64_t window,
                      float scale, float *scratch, float *out, int64_t out_stride);
  // losses[row] = -log softmax(logits[row])[target]; target < 0 gives 0. Where `scale` is not 0
  // the logits become (softmax - onehot) * scale (0 for a row without target), else anything.
  void (*cross_entropy)(float *logits, const int32_t *targets, float *losses, float scale,
                        int64_t width, int64_t vocabulary, int64_t begin, int64_t end);

  // With s = share and T = temperature, p and q the softmax of logits / T and teacher / T:
  // losses[row] = (1 - s) cross-entropy + s T^2 KL(q, p), and the logits become its gradient times
  // `scale`; a row without target has neither. Both have `vocabulary` logits in rows of their widths;
  // scratch[2 vocabulary] is overwritten.
  void (*distill)(float *logits, const float *teacher, const int32_t *targets, float *losses,
                  float scale, float share, float temperature, int64_t width,
                  int64_t teacher_width, int64_t vocabulary, float *scratch, int64_t begin,
                  int64_t end);

  // log sum e^x, the sum in float64; what is no number counts as -infinity. Equal values give equal
  // bits wherever they lie.
  float (*log_sum_exp)(const float *x, int64_t count);

  // Optimizer ----------------------------------------------------------------------------------

  // One AdamW step on elements [begin, end):
  //   g' = g * gradient_scale; m = b1 m + (1-b1) g'; v = b2 v + (1-b2) g'^2
  //   w -= rate * decay * w; w -= rate * (m / c1) / (sqrt(v / c2) + eps), c = 1 - b^step.
  void (*adamw)(float *w, const float *g, float *m, float *v, float rate, float beta1, float beta2,
                float eps, float decay, float correction1, float correction2,
                float gradient_scale, int64_t begin, int64_t end);
  // Sum of squares in float64.
  double (*sum_of_squares)(const float *x, int64_t count);
  // y += x
  void (*add)(const float *x, float *y, int64_t begin, int64_t end);

  // C[m, n] = op(A) op(B) (+ C): the product used where no BLAS was found. `scratch` holds
  // CMGLU_GEMM_SCRATCH floats.
  void (*gemm)(bool transpose_a, bool transpose_b, int64_t m, int64_t n, int64_t k,
               const float *a, int64_t lda, const float *b, int64_t ldb, bool accumulate, float *c,
               int64_t ldc, float *scratch);
} cmglu_kernels;

// Rows of a prompt that attend together, and keys that they see at a time: those of a block.
enum { CMGLU_ATTENDING_ROWS = 32, CMGLU_KEY_BLOCK = 128 };

// Floats of scratch that `attend_rows` needs, a multiple of 16, for heads of `size` elements.
static inline int64_t cmglu_attending_scratch(int64_t heads, int64_t size) {
  const int64_t floats = CMGLU_KEY_BLOCK * (size + 8) + 2 * heads * CMGLU_ATTENDING_ROWS + size;
  return (floats + 15) / 16 * 16;
}

// Floats of scratch that `gemm` needs, whatever the sizes.
enum { CMGLU_GEMM_SCRATCH = 256 * 1024 + 256 * 8 };

// FlashMGLU ------------------------------------------------------------------------------------

// Elements that share a scale where weights are CMGLU_I8, and those that share a word of mask bits.
enum { CMGLU_GROUP = 32, CMGLU_WORD = 64 };

// How much of x the products see.
typedef enum {
  CMGLU_EXACT,    // x as it is
  CMGLU_REDUCED,  // x as narrow as the weights: BF16 for CMGLU_BF16, groups of 32 8-bit integers
                  // with a scale for CMGLU_I8, as it is for the others
} cmglu_precision;

// The weights of a feed-forward unit, or of a plain projection (CMGLU_LINEAR, CMGLU_IDENTITY).
typedef struct {
  cmglu_data_type type;
  cmglu_gating gating;
  cmglu_activation activation;
  int64_t rows;
  int64_t columns;
  int64_t masks;              // 0 to 16
  const void *weights[2];     // [rows, columns], aligned or not; the second is a GLU's value
  const void *scales[2];      // CMGLU_I8: FP16 [rows, groups]
  const uint64_t *words;      // mask bits [rows, ceil(columns / 64), masks]; bit k is element
                              // 64 word + k, and bits beyond the last column are 0
} cmglu_packed;

typedef struct {
  const char *name;  // as accepted by MGLU_ISA

  // x[columns] as `fused_linear` reads it: cmglu_prepared_size bytes, aligned to 64.
  void (*prepare)(cmglu_data_type type, cmglu_precision precision, const float *x,
                  int64_t columns, void *prepared);
  // a[b, j], rows j in [begin, end), for each of `batch` prepared inputs: one pass over weights and
  // bits from memory, whatever the batch. Adds to a where `accumulate` is set. Row b of a begins
  // at a + b stride; routes[b, masks] as in `combine`, or NULL. A result depends on its own row of
  // x alone.
  void (*fused_linear)(const cmglu_packed *w, cmglu_precision precision, const void *prepared,
                int64_t batch, const float *routes, bool accumulate, float *a, int64_t stride,
                int64_t begin, int64_t end);
  // The same for many rows of x at a time, which see weights and inputs as BF16: for the rows of
  // prompts, where `cmglu_multiplies_prompts`. Inputs are rounded to BF16, and so are the values of
  // CMGLU_I8 weights. A result depends on its own row of x alone, and has other bits than that of
  // `fused_linear`. Memory for prepared inputs holds a multiple of CMGLU_PROMPT_ROWS; `scratch`,
  // aligned to 64, has the bytes of `prompt_scratch`. All three are NULL where nothing is faster than
  // a row at a time.
  void (*prepare_prompt)(const float *x, int64_t columns, void *prepared);
  int64_t (*prompt_scratch)(const cmglu_packed *w, int64_t batch);
  void (*fused_linear_prompt)(const cmglu_packed *w, const void *prepared, int64_t batch,
                              const float *routes, bool accumulate, float *a, int64_t stride,
                              int64_t begin, int64_t end, void *scratch);
  // Row `row` of the first plane as float32.
  void (*unpack)(const cmglu_packed *w, int64_t row, float *values);
  // float32 -> weights of a type; scales[ceil(columns / 32)] for CMGLU_I8.
  void (*pack)(cmglu_data_type type, const float *values, int64_t columns, void *weights,
               void *scales);
  // Words of rows [begin, end) from bit planes [masks, rows, ceil(columns / 8)], least significant
  // bit first; bits beyond the last column become 0.
  void (*pack_masks)(const void *planes, int64_t rows, int64_t columns, int64_t masks,
                     uint64_t *words, int64_t begin, int64_t end);
  // Reads `count` bytes and does next to nothing with them: the bound that memory sets.
  uint64_t (*read)(const void *bytes, int64_t count);
} cmglu_fused_linear;

// Rows of x that a prompt's product takes together.
enum { CMGLU_PROMPT_ROWS = 16 };

// Whether the table multiplies the rows of prompts with such weights many at a time.
static inline bool cmglu_multiplies_prompts(const cmglu_fused_linear *table, cmglu_data_type type,
                                            cmglu_precision precision) {
  return table->fused_linear_prompt && precision == CMGLU_REDUCED &&
         (type == CMGLU_BF16 || type == CMGLU_I8);
}

// Bytes of a prepared input of `columns` elements, a multiple of 64.
static inline int64_t cmglu_prepared_size(int64_t columns) {
  return (columns + 4 * CMGLU_GROUP - 1) / (4 * CMGLU_GROUP) * (4 * CMGLU_GROUP) * 4 + 64;
}

// The tables for an instruction set by name ("amx", "avx512bf16", "avx512vnni", "avx512", "avx2",
// "baseline"), or NULL where this machine or this build lacks it. "baseline" is always there. The
// first four differ in FlashMGLU only.
const cmglu_kernels *cmglu_kernels_named(const char *name);
const cmglu_fused_linear *cmglu_fused_linear_named(const char *name);
// The names, best first from index 0 on; NULL after the last.
const char *cmglu_instruction_set(int index);

// Processors this process may run on.
int cmglu_processor_count(void);

// A hint to the processor that this is a spin-wait loop.
static inline void cmglu_relax(void) {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  __asm__ volatile("yield");
#endif
}

#if defined(__cplusplus)
}
#endif
#endif
