// FlashMGLU: every weight and every mask bit is read once, and goes into n_m + 1 sums.
//
// A row of W is walked in groups of 32 elements, of 64 that share a word of bits, against a few
// rows of x at once. The sums of LANES rows of W are kept as vectors and added up together,
// transposed; then the streams of these rows are combined as in training.
#include "narrow.h"

enum { MOST_STREAMS = 17, MOST_INPUTS = 4, AHEAD = 5 * 1024 };

// A row of one or two planes of W, of whose `masks` masks a pass takes a few from words[0] on, and
// rows of x that lie `size` bytes apart.
typedef struct {
  const char *w[2], *scales[2];
  const uint64_t *words;
  int64_t columns, masks;
  const char *x;
  int64_t size;
} row_view;

// One vector for each row of x and each stream: the masks, then each plane as a whole.
typedef vf stream_sums[MOST_INPUTS][MOST_STREAMS];

INLINE int64_t group_count(int64_t columns) { return (columns + CMGLU_GROUP - 1) / CMGLU_GROUP; }

// Where the scales of a prepared CMGLU_I8 input begin.
INLINE int64_t scale_offset(int64_t columns) { return (columns + 63) / 64 * 64; }

// The bits of group g under the first mask; those of the next lie two words on.
INLINE const uint32_t *group_bits(const row_view *r, int64_t g) {
  return (const uint32_t *)(r->words + g / 2 * r->masks) + g % 2;
}

INLINE void store_sums(int streams, int inputs, const stream_sums a, const stream_sums b, vf *out) {
  EACH(n, inputs) EACH(i, streams) out[(n * MOST_STREAMS + i) * LANES] = a[n][i] + b[n][i];
}

// s + p where bit j + lane of the word is set.
INLINE vf add_masked(vf s, const uint32_t *word, int j, vf p) {
#if defined(CMGLU_AVX512)
  const __mmask16 bits = _load_mask16((__mmask16 *)((const char *)word + j / 8));
  return (vf)_mm512_mask_add_ps((__m512)s, bits, (__m512)s, (__m512)p);
#else
  vi lane;
  for (int i = 0; i < LANES; i++) lane[i] = 1u << (i + j);
  vi bits = (vi){} + (int32_t)*word;
  return s + (vf)((vi)p & ((bits & lane) == lane));
#endif
}

// 32 products w x of each plane and input, each added to the sum of all and of every mask that has
// it. Two sets of sums take turns, so that an addition need not wait for the one before.
INLINE void exact_group(cmglu_data_type type, int count, int planes, int inputs,
                        const char *const *w, const float *scale, const row_view *r, int64_t g,
                        stream_sums sums[2]) {
  const uint32_t *bits = group_bits(r, g);
  UNROLL for (int j = 0; j < CMGLU_GROUP; j += LANES) EACH(plane, planes) {
    vf weights = widen(type, w[plane], j);
    if (type == CMGLU_I8) weights *= splat(scale[plane]);
    EACH(n, inputs) {
      vf *s = sums[j / LANES % 2][n];
      const float *x = (const float *)(r->x + n * r->size) + g * CMGLU_GROUP;
      const vf p = weights * *(const vf *)(x + j);
      s[count + plane] += p;
      EACH(i, count) s[i] = add_masked(s[i], bits + 2 * i, j, p);
    }
  }
}

INLINE void exact_row(cmglu_data_type type, int count, int planes, int inputs, const row_view *r,
                      vf *out) {
  const int64_t size = CMGLU_GROUP * weight_size(type), whole = r->columns / CMGLU_GROUP;
  const int64_t rest = r->columns % CMGLU_GROUP * weight_size(type);
  stream_sums sums[2] = {};
  const char *w[2];
  float scale[2];
  for (int64_t g = 0; g < whole; g++) {
    EACH(plane, planes) {
      w[plane] = r->w[plane] + g * size;
      if (type == CMGLU_I8) scale[plane] = load_half(r->scales[plane], g);
      for (int64_t line = 0; line < size; line += 64)
        __builtin_prefetch(w[plane] + AHEAD + line, 0, 3);
    }
    if (count) __builtin_prefetch(group_bits(r, g + AHEAD / size), 0, 3);
    exact_group(type, count, planes, inputs, w, scale, r, g, sums);
  }
  if (rest) {
    char tail[2][CMGLU_GROUP * 4] = {};
    EACH(plane, planes) {
      w[plane] = memcpy(tail[plane], r->w[plane] + whole * size, (size_t)rest);
      if (type == CMGLU_I8) scale[plane] = load_half(r->scales[plane], whole);
    }
    exact_group(type, count, planes, inputs, w, scale, r, whole, sums);
  }
  store_sums(count + planes, inputs, sums[0], sums[1], out);
}

#if defined(CMGLU_AVX512)
#include "fused_linear_int8_avx512.h"
#elif defined(CMGLU_AVX2)
#include "fused_linear_int8_avx2.h"
#else
#include "fused_linear_int8.h"
#endif
#if defined(CMGLU_BF16_DOT)
#include "fused_linear_bf16.h"
#else
// x was rounded to BF16 when it was prepared.
INLINE void bf16_row(int count, int planes, int inputs, const row_view *r, vf *out) {
  exact_row(CMGLU_BF16, count, planes, inputs, r, out);
}
#endif
#include "fused_linear_rows.h"

// The streams of `rows` rows of W, combined for one row of x.
static void combine_rows(const cmglu_packed *p, int64_t rows, vf (*sums)[LANES],
                         const float *routes, bool accumulate, float *out) {
  const int64_t streams = p->masks + (p->gating == CMGLU_GATED ? 2 : 1);
  float packed[MOST_STREAMS * LANES], result[LANES];
  for (int64_t s = 0; s < streams; s++) {
    for (int64_t i = rows; i < LANES; i++) sums[s][i] = (vf){};
    store(packed + s * rows, sums_of_vectors(sums[s]), rows);
  }
  combine(p->gating, p->activation, p->masks, rows, packed, routes, result, 0, 1);
  for (int64_t i = 0; i < rows; i++) out[i] = accumulate ? out[i] + result[i] : result[i];
}

static void fused_linear(const cmglu_packed *p, cmglu_precision precision, const void *prepared,
                  int64_t batch, const float *routes, bool accumulate, float *a, int64_t stride,
                  int64_t begin, int64_t end) {
  const int64_t size = cmglu_prepared_size(p->columns), groups = group_count(p->columns);
  const int planes = p->gating == CMGLU_GATED ? 2 : 1, together = inputs_together(p->masks);
  for (int64_t first = begin; first < end; first += LANES) {
    const int64_t rows = end - first < LANES ? end - first : LANES;
    for (int64_t b = 0, inputs; b < batch; b += inputs) {
      inputs = batch - b >= together ? together : 1;
      vf sums[MOST_INPUTS][MOST_STREAMS][LANES];
      // What there are no masks or scales of is never read, but must not be null: offsets are added to it.
      const uint64_t *words = p->masks ? p->words : p->weights[0];
      row_view view = {.words = words + first * ((groups + 1) / 2) * p->masks,
                       .columns = p->columns,
                       .masks = p->masks,
                       .x = (const char *)prepared + b * size,
                       .size = size};
      for (int plane = 0; plane < planes; plane++) {
        view.w[plane] =
            (const char *)p->weights[plane] + first * p->columns * weight_size(p->type);
        view.scales[plane] = p->type == CMGLU_I8
                                 ? (const char *)p->scales[plane] + first * groups * 2
                                 : view.w[plane];
      }
      block_sums(p->type, precision, planes, (int)inputs, view, rows, sums[0]);
      for (int64_t n = b; n < b + inputs; n++)
        combine_rows(p, rows, sums[n - b], routes ? routes + n * p->masks : 0, accumulate,
                     a + n * stride + first);
    }
  }
}

static void prepare(cmglu_data_type type, cmglu_precision precision, const float *x,
                    int64_t columns, void *prepared) {
  memset(prepared, 0, (size_t)cmglu_prepared_size(columns));
  if (precision == CMGLU_REDUCED && type == CMGLU_I8) {
    float *scales = (float *)((char *)prepared + scale_offset(columns));
    for (int64_t k = 0; k < columns; k += CMGLU_GROUP) {
      const int64_t left = columns - k, count = left < CMGLU_GROUP ? left : CMGLU_GROUP;
      scales[k / CMGLU_GROUP] = quantize(x + k, count, false, (int8_t *)prepared + k);
    }
  } else if (precision == CMGLU_REDUCED && type == CMGLU_BF16) {
    for (int64_t k = 0; k < columns; k++) {
      const uint16_t bits = bfloat_of_float(x[k]);
#if defined(CMGLU_BF16_DOT)
      ((uint16_t *)prepared)[k] = bits;
#else
      const uint32_t wide = (uint32_t)bits << 16;
      memcpy((float *)prepared + k, &wide, 4);
#endif
    }
  } else {
    memcpy(prepared, x, (size_t)columns * 4);
  }
}

static uint64_t read_bytes(const void *bytes, int64_t count) {
  typedef uint64_t lanes __attribute__((vector_size(LANES * 4), aligned(1)));
  enum { STEP = 16 * LANES };
  const char *p = bytes;
  lanes sums[4] = {};
  for (int64_t i = 0; i + STEP <= count; i += STEP) {
    for (int64_t line = 0; line < STEP; line += 64)
      __builtin_prefetch(p + i + AHEAD + line, 0, 3);
    for (int k = 0; k < 4; k++) sums[k] += *(const lanes *)(p + i + k * LANES * 4);
  }
  lanes total = sums[0] + sums[1] + sums[2] + sums[3];
  return total[0] + total[1];
}

#if defined(CMGLU_AMX)
#include "fused_linear_prompt.h"
#endif

#define CMGLU_FUSED_LINEAR(name) CMGLU_JOIN(cmglu_fused_linear_, name)
extern const cmglu_fused_linear CMGLU_FUSED_LINEAR(CMGLU_NAME);
const cmglu_fused_linear CMGLU_FUSED_LINEAR(CMGLU_NAME) = {
    .name = CMGLU_STRING(CMGLU_NAME),
    .prepare = prepare,
    .fused_linear = fused_linear,
    .unpack = unpack_weights,
    .pack = pack_weights,
    .pack_masks = pack_masks,
    .read = read_bytes,
#if defined(CMGLU_AMX)
    .prepare_prompt = prepare_prompt,
    .prompt_scratch = prompt_scratch,
    .fused_linear_prompt = fused_linear_prompt,
#endif
};
