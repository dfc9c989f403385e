// FlashMGLU: every weight and every mask bit is read once, and goes into n_m + 1 sums.
//
// A row of W is walked in groups of 32 elements. The sums of LANES rows are kept as vectors and
// added up together, transposed; then the streams of these rows are combined as in training.
#include "narrow.h"

enum { MOST_STREAMS = 17, AHEAD = 5 * 1024 };

// A row of weights under `masks` masks, of which a pass takes a few from words[0] on, and x.
typedef struct {
  const char *w, *scales;
  const uint32_t *words;
  int64_t columns, masks;
  const char *x;
} row_view;

INLINE int64_t group_count(int64_t columns) { return (columns + CMGLU_GROUP - 1) / CMGLU_GROUP; }

// Where the scales of a prepared CMGLU_I8 input begin.
INLINE int64_t scale_offset(int64_t columns) { return (columns + 63) / 64 * 64; }

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

// 32 products w x, each added to the sum of all and of every mask that has it. Two sets of sums
// take turns, so that an addition need not wait for the one before.
INLINE void exact_group(cmglu_weight_type type, int count, const char *w, float scale,
                        const float *x, const uint32_t *words, vf sums[2][MOST_STREAMS]) {
#pragma clang loop unroll(full)
  for (int j = 0; j < CMGLU_GROUP; j += LANES) {
    vf *s = sums[j / LANES % 2];
    vf p = widen(type, w, j) * *(const vf *)(x + j);
    if (type == CMGLU_I8) p *= splat(scale);
    s[count] += p;
#pragma clang loop unroll(full)
    for (int i = 0; i < count; i++) s[i] = add_masked(s[i], words + i, j, p);
  }
}

// Sums of `count` masks, then of all, LANES vectors apart in `out`.
INLINE void exact_row(cmglu_weight_type type, int count, const row_view *r, vf *out) {
  const int64_t size = CMGLU_GROUP * weight_size(type), whole = r->columns / CMGLU_GROUP;
  const char *w = r->w;
  const float *x = (const float *)r->x;
  const uint32_t *words = r->words;
  vf sums[2][MOST_STREAMS] = {};
  for (int64_t g = 0; g < whole; g++, w += size, x += CMGLU_GROUP, words += r->masks) {
    for (int64_t line = 0; line < size; line += 64) __builtin_prefetch(w + AHEAD + line, 0, 2);
    if (count) __builtin_prefetch(words + AHEAD / size * r->masks, 0, 2);
    const float scale = type == CMGLU_I8 ? load_half(r->scales, g) : 1;
    exact_group(type, count, w, scale, x, words, sums);
  }
  if (r->columns % CMGLU_GROUP) {
    char tail[CMGLU_GROUP * 4] = {};
    memcpy(tail, w, (size_t)(r->columns % CMGLU_GROUP * weight_size(type)));
    const float scale = type == CMGLU_I8 ? load_half(r->scales, whole) : 1;
    exact_group(type, count, tail, scale, x, words, sums);
  }
#pragma clang loop unroll(full)
  for (int i = 0; i <= count; i++) out[i * LANES] = sums[0][i] + sums[1][i];
}

#if defined(CMGLU_AVX512)
#include "flash_int8_avx512.h"
#elif defined(CMGLU_AVX2)
#include "flash_int8_avx2.h"
#else
#include "flash_int8.h"
#endif
#if defined(CMGLU_BF16_DOT)
#include "flash_bf16.h"
#else
// x was rounded to BF16 when it was prepared.
INLINE void bf16_row(int count, const row_view *r, vf *out) {
  exact_row(CMGLU_BF16, count, r, out);
}
#endif

#define BY_COUNT(function, ...)               \
  switch (count) {                            \
    case 0: function(__VA_ARGS__ 0, r, out); break; \
    case 1: function(__VA_ARGS__ 1, r, out); break; \
    case 2: function(__VA_ARGS__ 2, r, out); break; \
    case 4: function(__VA_ARGS__ 4, r, out); break; \
    case 8: function(__VA_ARGS__ 8, r, out); break; \
  }
#define COMMA ,

static void some_sums(cmglu_weight_type type, cmglu_precision precision, int count,
                      const row_view *r, vf *out) {
  const bool reduced = precision == CMGLU_REDUCED;
  switch (type) {
    case CMGLU_F32: BY_COUNT(exact_row, CMGLU_F32 COMMA); break;
    case CMGLU_F16: BY_COUNT(exact_row, CMGLU_F16 COMMA); break;
    case CMGLU_BF16:
      if (reduced)
        BY_COUNT(bf16_row, )
      else
        BY_COUNT(exact_row, CMGLU_BF16 COMMA);
      break;
    case CMGLU_I8:
      if (reduced)
        BY_COUNT(int8_row, )
      else
        BY_COUNT(exact_row, CMGLU_I8 COMMA);
      break;
  }
}

// The sums of one row: masks in passes of 8, 4, 2 or 1, of which all but the first find the row in
// the cache.
static void row_sums(cmglu_weight_type type, cmglu_precision precision, const row_view *row,
                     vf *out) {
  row_view r = *row;
  int64_t done = 0;
  do {
    const int64_t left = row->masks - done;
    const int count = left >= 8 ? 8 : left >= 4 ? 4 : left >= 2 ? 2 : (int)left;
    r.words = row->words + done;
    some_sums(type, precision, count, &r, out + done * LANES);
    done += count;
  } while (done < row->masks);
}

#if LANES == 16
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14, 16, 18, 20, 22, 24, 26, 28, 30
#define ODD 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29, 31
#elif LANES == 8
#define EVEN 0, 2, 4, 6, 8, 10, 12, 14
#define ODD 1, 3, 5, 7, 9, 11, 13, 15
#else
#define EVEN 0, 2, 4, 6
#define ODD 1, 3, 5, 7
#endif

// Lane i: the sum of the lanes of v[i]. Overwrites v.
INLINE vf sums_of_vectors(vf *v) {
#pragma clang loop unroll(full)
  for (int count = LANES; count > 1; count /= 2)
#pragma clang loop unroll(full)
    for (int i = 0; i < count / 2; i++)
      v[i] = __builtin_shufflevector(v[2 * i], v[2 * i + 1], EVEN) +
             __builtin_shufflevector(v[2 * i], v[2 * i + 1], ODD);
  return v[0];
}

static void flash(const cmglu_packed *p, cmglu_precision precision, const void *prepared,
                  int64_t batch, const float *routes, bool accumulate, float *a, int64_t stride,
                  int64_t begin, int64_t end) {
  const int64_t size = cmglu_prepared_size(p->columns), groups = group_count(p->columns);
  const int64_t planes = p->gating == CMGLU_GATED ? 2 : 1, streams = p->masks + planes;
  for (int64_t first = begin; first < end; first += LANES) {
    const int64_t rows = end - first < LANES ? end - first : LANES;
    for (int64_t b = 0; b < batch; b++) {
      vf sums[MOST_STREAMS][LANES];
      for (int64_t s = 0; s < streams && rows < LANES; s++)
        for (int64_t i = rows; i < LANES; i++) sums[s][i] = (vf){};
      for (int64_t plane = 0; plane < planes; plane++)
        for (int64_t i = 0; i < rows; i++) {
          const int64_t row = first + i;
          const row_view view = {
              .w = (const char *)p->weights[plane] + row * p->columns * weight_size(p->type),
              .scales = (const char *)p->scales[plane] + row * groups * 2,
              .words = p->words + row * groups * p->masks,
              .columns = p->columns,
              .masks = p->masks,
              .x = (const char *)prepared + b * size};
          row_sums(p->type, precision, &view, &sums[plane][i]);
        }
      float packed[MOST_STREAMS * LANES], result[LANES];
      for (int64_t s = 0; s < streams; s++)
        store(packed + s * rows, sums_of_vectors(sums[s]), rows);
      combine(p->gating, p->activation, p->masks, rows, packed,
              routes ? routes + b * p->masks : 0, result, 0, 1);
      float *out = a + b * stride + first;
      for (int64_t i = 0; i < rows; i++) out[i] = accumulate ? out[i] + result[i] : result[i];
    }
  }
}

static void prepare(cmglu_weight_type type, cmglu_precision precision, const float *x,
                    int64_t columns, void *prepared) {
  memset(prepared, 0, (size_t)cmglu_prepared_size(columns));
  if (precision == CMGLU_REDUCED && type == CMGLU_I8) {
    float *scales = (float *)((char *)prepared + scale_offset(columns));
    for (int64_t k = 0; k < columns; k += CMGLU_GROUP) {
      const int64_t left = columns - k, count = left < CMGLU_GROUP ? left : CMGLU_GROUP;
      scales[k / CMGLU_GROUP] = quantise(x + k, count, false, (int8_t *)prepared + k);
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
      __builtin_prefetch(p + i + AHEAD + line, 0, 2);
    for (int k = 0; k < 4; k++) sums[k] += *(const lanes *)(p + i + k * LANES * 4);
  }
  lanes total = sums[0] + sums[1] + sums[2] + sums[3];
  return total[0] + total[1];
}

#define CMGLU_FLASH(name) CMGLU_JOIN(cmglu_flash_, name)
extern const cmglu_flash CMGLU_FLASH(CMGLU_NAME);
const cmglu_flash CMGLU_FLASH(CMGLU_NAME) = {
    .name = CMGLU_STRING(CMGLU_NAME),
    .prepare = prepare,
    .flash = flash,
    .unpack = unpack_weights,
    .pack = pack_weights,
    .pack_masks = pack_masks,
    .read = read_bytes,
};
