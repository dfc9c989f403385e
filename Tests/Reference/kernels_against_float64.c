// FlashMGLU, the built-in matrix product, cached attention and the sum of a softmax of every
// instruction set against float64, without Swift: for processors that no Swift toolchain at hand builds for, and for
// sanitizers that Swift lacks. scripts/check-neon and scripts/sanitize run it; it prints what it
// found and ends with 1 on a miss.
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "CMGLUKernels.h"

static int misses, cases, all_misses;

static uint32_t state;

// Uniform in [-1, 1).
static float draw(void) {
  state = state * 1664525u + 1013904223u;
  return (float)(state >> 8) / (1 << 23) - 1;
}

static void fill(float *x, int64_t count, float scale) {
  for (int64_t k = 0; k < count; k++) x[k] = draw() * scale;
}

static void *allocate(int64_t size) {
  void *memory = aligned_alloc(64, (size_t)(size + 63) / 64 * 64);
  if (!memory) exit(2);
  return memset(memory, 0, (size_t)(size + 63) / 64 * 64);
}

// ||found - expected|| / ||expected||, which must be below the bound. Few sums that all cancel are
// measured against a tenth of what they sum.
static void compare(const char *name, const float *found, const double *expected, int64_t count,
                    double bound) {
  double difference = 0, norm = 0;
  for (int64_t k = 0; k < count; k++) {
    difference += (found[k] - expected[k]) * (found[k] - expected[k]);
    norm += expected[k] * expected[k];
  }
  const double error = sqrt(difference / fmax(norm, 1e-2 * (double)count));
  cases++;
  if (error < bound) return;
  misses++;
  printf("MISS %s: error %.1e, bound %.1e\n", name, error, bound);
}

static void require(const char *name, bool holds) {
  cases++;
  if (holds) return;
  misses++;
  printf("MISS %s\n", name);
}

static double silu(double t) { return t / (1 + exp(-t)); }

// One row of one plane as float64.
static void widen(const cmglu_fused_linear *fused_linear, cmglu_packed p, int plane, int64_t row, double *w) {
  float *values = allocate(p.columns * 4);
  p.weights[0] = p.weights[plane];
  p.scales[0] = p.scales[plane];
  fused_linear->unpack(&p, row, values);
  for (int64_t k = 0; k < p.columns; k++) w[k] = values[k];
  free(values);
}

// The rows of a prompt, some from the middle of W on, and the last of them alone.
static void check_prompt(const cmglu_fused_linear *fused_linear, const cmglu_packed *p, const float *x,
                         int64_t batch, const double *expected, double bound, const char *unit) {
  const int64_t d = p->rows, h = p->columns, size = cmglu_prepared_size(h);
  const int64_t begin = d / 3, last = batch - 1;
  char *prepared = allocate((batch + CMGLU_PROMPT_ROWS) * size), name[128];
  char *scratch = allocate(fused_linear->prompt_scratch(p, batch));
  float *a = allocate(batch * d * 4), *alone = allocate(d * 4);
  for (int64_t b = 0; b < batch; b++)
    fused_linear->prepare_prompt(x + b * h, h, prepared + b * size);
  fused_linear->fused_linear_prompt(p, prepared, batch, 0, false, a, d, 0, begin, scratch);
  fused_linear->fused_linear_prompt(p, prepared, batch, 0, false, a, d, begin, d, scratch);
  snprintf(name, sizeof name, "prompt, %s", unit);
  compare(name, a, expected, batch * d, bound);
  memmove(prepared, prepared + last * size, (size_t)size);
  fused_linear->fused_linear_prompt(p, prepared, 1, 0, false, alone, d, 0, d, scratch);
  snprintf(name, sizeof name, "a row of a prompt alone, %s", unit);
  require(name, memcmp(alone, a + last * d, (size_t)d * 4) == 0);
  fused_linear->fused_linear_prompt(p, prepared, 1, 0, true, alone, d, 0, d, scratch);
  bool twice = true;
  for (int64_t j = 0; j < d; j++) twice &= alone[j] == 2 * a[last * d + j];
  snprintf(name, sizeof name, "a row of a prompt added, %s", unit);
  require(name, twice);
  void *const all[] = {prepared, scratch, a, alone};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

// A unit of n masks, or of none and one or two planes, over `batch` rows.
static void check_unit(const cmglu_fused_linear *fused_linear, cmglu_data_type type, cmglu_precision precision,
                       int64_t masks, int planes, int64_t d, int64_t h, int64_t batch) {
  const int64_t size = type == CMGLU_F32 ? 4 : type == CMGLU_I8 ? 1 : 2;
  const int64_t groups = (h + 31) / 32, bytes = (h + 7) / 8, words = (h + 63) / 64;
  const int64_t prepared_size = cmglu_prepared_size(h);
  float *row = allocate(h * 4), *x = allocate(batch * h * 4), *a = allocate(batch * d * 4);
  double *w = allocate(h * 8), *v = allocate(h * 8), *expected = allocate(batch * d * 8);
  uint8_t *bits = allocate(masks * d * bytes + 1);
  uint64_t *packed_words = allocate(d * words * masks * 8 + 8);
  char *prepared = allocate(batch * prepared_size);
  cmglu_packed p = {
      .type = type, .activation = CMGLU_SILU, .rows = d, .columns = h, .masks = masks,
      .gating = masks ? CMGLU_MASKED : planes == 2 ? CMGLU_GATED : CMGLU_LINEAR,
      .words = packed_words};
  for (int plane = 0; plane < planes; plane++) {
    char *weights = allocate(d * h * size), *scales = allocate(d * groups * 2);
    for (int64_t j = 0; j < d; j++) {
      fill(row, h, 3 / sqrtf((float)h));  // streams of about one
      fused_linear->pack(type, row, h, weights + j * h * size, scales + j * groups * 2);
    }
    p.weights[plane] = weights;
    p.scales[plane] = scales;
  }
  for (int64_t k = 0; k < masks * d * bytes; k++) bits[k] = (uint8_t)(draw() * 127 + 128);
  fused_linear->pack_masks(bits, d, h, masks, packed_words, 0, d);
  fill(x, batch * h, 1);
  for (int64_t b = 0; b < batch; b++)
    fused_linear->prepare(type, precision, x + b * h, h, prepared + b * prepared_size);
  fused_linear->fused_linear(&p, precision, prepared, batch, 0, false, a, d, 0, d);

  for (int64_t j = 0; j < d; j++) {
    widen(fused_linear, p, 0, j, w);
    if (planes == 2) widen(fused_linear, p, 1, j, v);
    for (int64_t b = 0; b < batch; b++) {
      double total = 0, value = 0, sum = 0;
      for (int64_t k = 0; k < h; k++) {
        total += w[k] * x[b * h + k];
        value += v[k] * x[b * h + k];
      }
      for (int64_t i = 0; i < masks; i++) {
        double gate = 0;
        for (int64_t k = 0; k < h; k++)
          if (bits[(i * d + j) * bytes + k / 8] >> (k % 8) & 1) gate += w[k] * x[b * h + k];
        sum += silu(gate) * (total - gate);
      }
      expected[b * d + j] = masks ? sum : planes == 2 ? silu(total) * value : silu(total);
    }
  }
  // As in mglu verify; a few outputs have no mean to average the errors of narrow inputs in.
  const double slack = d * batch < 16 ? 10 : 1;
  double bound = 1e-5;
  if (precision == CMGLU_REDUCED && type == CMGLU_BF16) bound = 1e-2 * slack;
  if (precision == CMGLU_REDUCED && type == CMGLU_I8) bound = 3e-2 * slack;
  char name[96];
  snprintf(name, sizeof name, "type %d, precision %d, %d masks, %d planes, %d x %d, batch %d",
           type, precision, (int)masks, planes, (int)d, (int)h, (int)batch);
  compare(name, a, expected, batch * d, bound);
  if (cmglu_multiplies_prompts(fused_linear, type, precision))
    check_prompt(fused_linear, &p, x, batch, expected, bound, name);
  void *const all[] = {row, x, a, w, v, expected, bits, packed_words, prepared,
                       (void *)p.weights[0], (void *)p.scales[0], (void *)p.weights[1],
                       (void *)p.scales[1]};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void check_product(const cmglu_kernels *kernels, bool transpose_a, bool transpose_b) {
  enum { M = 7, N = 37, K = 300 };
  static float a[M * K], b[K * N], c[M * N], scratch[CMGLU_GEMM_SCRATCH];
  static double expected[M * N];
  fill(a, M * K, 1);
  fill(b, K * N, 1);
  kernels->gemm(transpose_a, transpose_b, M, N, K, a, transpose_a ? M : K, b,
                transpose_b ? K : N, false, c, N, scratch);
  for (int i = 0; i < M; i++)
    for (int j = 0; j < N; j++) {
      expected[i * N + j] = 0;
      for (int k = 0; k < K; k++)
        expected[i * N + j] += (double)a[transpose_a ? k * M + i : i * K + k] *
                               b[transpose_b ? j * K + k : k * N + j];
    }
  compare("matrix product", c, expected, M * N, 1e-5);
}

static void check_attention(const cmglu_kernels *kernels) {
  enum { LENGTH = 35, SIZE = 22 };
  static float query[SIZE], keys[LENGTH * SIZE], values[LENGTH * SIZE], scores[LENGTH], out[SIZE];
  double weights[LENGTH], total = 0, expected[SIZE] = {};
  fill(query, SIZE, 1);
  fill(keys, LENGTH * SIZE, 1);
  fill(values, LENGTH * SIZE, 1);
  const int32_t blocks[] = {0};
  kernels->attend(query, keys, values, blocks, 0, SIZE, 0, LENGTH, 0.5f, scores, out);
  for (int t = 0; t < LENGTH; t++) {
    double score = 0;
    for (int k = 0; k < SIZE; k++) score += (double)query[k] * keys[t * SIZE + k];
    total += weights[t] = exp(0.5 * score);
  }
  for (int t = 0; t < LENGTH; t++)
    for (int k = 0; k < SIZE; k++) expected[k] += weights[t] / total * values[t * SIZE + k];
  compare("attention", out, expected, SIZE, 1e-5);
}

// Rows of a prompt and heads that share keys and values, over several blocks of keys that lie in another
// order; then one of them alone, and as a row that decodes.
static void check_attention_of_prompts(const cmglu_kernels *kernels, int64_t heads, int64_t rows,
                                       int64_t size, int64_t position, int64_t window) {
  const int64_t total = position + rows, width = heads * size + 3;
  const int64_t count = (total + CMGLU_KEY_BLOCK - 1) / CMGLU_KEY_BLOCK;
  const int64_t stride = CMGLU_KEY_BLOCK * size;
  float *queries = allocate(rows * width * 4), *keys = allocate(count * stride * 4);
  float *values = allocate(count * stride * 4), *out = allocate(rows * width * 4);
  float *scratch = allocate(cmglu_attending_scratch(heads, size) * 4), *alone = allocate(width * 4);
  float *scores = allocate(total * 4);
  int32_t *blocks = allocate(count * 4);
  double *expected = allocate(rows * width * 8), *weights = allocate(total * 8);
  fill(queries, rows * width, 2);
  fill(keys, count * stride, 1);
  fill(values, count * stride, 1);
  for (int64_t i = 0; i < count; i++) blocks[i] = (int32_t)(count - 1 - i);
  kernels->attend_rows(queries, width, heads, rows, keys, values, blocks, stride, size, position,
                       window, 0.5f, scratch, out, width);
  for (int64_t r = 0; r < rows; r++)
    for (int64_t head = 0; head < heads; head++) {
      double sum = 0, *const result = expected + r * width + head * size;
      const int64_t last = position + r, first = last + 1 < window ? 0 : last + 1 - window;
      for (int64_t t = first; t <= last; t++) {
        const int64_t at = blocks[t / CMGLU_KEY_BLOCK] * stride + t % CMGLU_KEY_BLOCK * size;
        double score = 0;
        for (int64_t k = 0; k < size; k++)
          score += (double)queries[r * width + head * size + k] * keys[at + k];
        sum += weights[t] = exp(0.5 * score);
      }
      for (int64_t t = first; t <= last; t++) {
        const int64_t at = blocks[t / CMGLU_KEY_BLOCK] * stride + t % CMGLU_KEY_BLOCK * size;
        for (int64_t k = 0; k < size; k++) result[k] += weights[t] / sum * values[at + k];
      }
    }
  char name[96];
  snprintf(name, sizeof name, "attention of %d rows after %d, %d heads of %d", (int)rows,
           (int)position, (int)heads, (int)size);
  compare(name, out, expected, rows * width, 1e-5);
  const int64_t last = rows - 1, end = position + rows;
  kernels->attend_rows(queries + last * width, width, heads, 1, keys, values, blocks, stride, size,
                       position + last, window, 0.5f, scratch, alone, width);
  require(name, memcmp(alone, out + last * width, (size_t)(heads * size) * 4) == 0);
  kernels->attend(queries + last * width, keys, values, blocks, stride, size,
                  end < window ? 0 : end - window, end, 0.5f, scores, alone);
  compare(name, alone, expected + last * width, size, 1e-5);
  void *const all[] = {queries, keys, values, out, scratch, alone, scores, blocks, expected, weights};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) free(all[i]);
}

static void check_log_sum_exp(const cmglu_kernels *kernels, int64_t count) {
  float *x = allocate(count * 4), found;
  double expected = 0;
  fill(x, count, 20);
  x[count / 2] = 20;
  for (int64_t k = 0; k < count; k++) expected += exp(x[k] - 20.);
  expected = 20 + log(expected);
  found = kernels->log_sum_exp(x, count);
  compare("sum of a softmax", &found, &expected, 1, 1e-6);
  free(x);
}

static void check(const char *name) {
  const cmglu_fused_linear *fused_linear = cmglu_fused_linear_named(name);
  const cmglu_kernels *kernels = cmglu_kernels_named(name);
  if (!fused_linear || !kernels) return;
  misses = cases = 0;
  state = 1;  // the same cases for all
  const int64_t shapes[][2] = {{1, 1}, {17, 33}, {16, 96}, {37, 577}, {5, 1024}, {33, 1301}};
  const int64_t masks[] = {0, 1, 2, 3, 4, 8, 11, 16};
  for (int type = CMGLU_F32; type <= CMGLU_I8; type++)
    for (int precision = CMGLU_EXACT; precision <= CMGLU_REDUCED; precision++)
      for (int s = 0; s < 6; s++)
        for (int64_t batch = 1; batch <= 49; batch *= 7) {
          if (batch > 7 && !cmglu_multiplies_prompts(fused_linear, type, precision)) continue;
          for (int m = 0; m < 8; m++)
            check_unit(fused_linear, type, precision, masks[m], 1, shapes[s][0], shapes[s][1], batch);
          check_unit(fused_linear, type, precision, 0, 2, shapes[s][0], shapes[s][1], batch);
        }
  for (int flags = 0; flags < 4; flags++) check_product(kernels, flags & 1, flags & 2);
  check_attention(kernels);
  const int64_t attentions[][5] = {
      {1, 1, 4, 0, 9}, {3, 32, 64, 0, 7}, {2, 7, 22, 130, 5}, {4, 31, 80, 300, INT64_MAX},
      {1, 17, 128, 255, 129}, {9, 9, 2, 127, 127}, {3, 32, 64, 0, INT64_MAX}, {2, 32, 16, 500, 250}};
  for (int s = 0; s < 8; s++)
    check_attention_of_prompts(kernels, attentions[s][0], attentions[s][1], attentions[s][2],
                               attentions[s][3], attentions[s][4]);
  for (int64_t count = 1; count < 3000; count = 2 * count + 3) check_log_sum_exp(kernels, count);
  printf("%s: %d of %d cases are within their bounds\n", name, cases - misses, cases);
  all_misses += misses;
}

int main(void) {
  for (int i = 0; cmglu_instruction_set(i); i++) check(cmglu_instruction_set(i));
  return all_misses > 0;
}
