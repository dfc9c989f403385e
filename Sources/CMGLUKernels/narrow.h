// Narrow number formats: FP16, BF16 and groups of 8-bit integers, from and to float32.

typedef float uf __attribute__((vector_size(LANES * 4), aligned(1)));
typedef uint16_t vh __attribute__((vector_size(LANES * 2), aligned(1)));
typedef int8_t vb __attribute__((vector_size(LANES), aligned(1)));
typedef uint32_t vu __attribute__((vector_size(LANES * 4), aligned(4)));

// FP16 bits: shifted to float32's place they are 2^-112 of the value, subnormal ones too.
INLINE vf widen_halves(vh halves) {
#if defined(CMGLU_AVX512)
  return (vf)_mm512_cvtph_ps((__m256i)halves);
#elif defined(CMGLU_AVX2)
  return (vf)_mm256_cvtph_ps((__m128i)halves);
#else
  vi bits = __builtin_convertvector(halves, vi);
  vf magnitude = (vf)((bits & 0x7fff) << 13) * splat(0x1p112f);
  vi special = ((bits & 0x7c00) == 0x7c00) & (vi)splat(INFINITY);
  return (vf)((vi)magnitude | special | (bits & 0x8000) << 16);
#endif
}

// LANES weights from element j on, without the scale of CMGLU_I8.
INLINE vf widen(cmglu_data_type type, const char *w, int64_t j) {
  switch (type) {
    case CMGLU_F32: return (vf) * (const uf *)(w + 4 * j);
    case CMGLU_F16: return widen_halves(*(const vh *)(w + 2 * j));
    case CMGLU_BF16: {
      vu bits = __builtin_convertvector(*(const vh *)(w + 2 * j), vu);
      return (vf)(bits << 16);
    }
    case CMGLU_I8: return __builtin_convertvector(*(const vb *)(w + j), vf);
  }
  return (vf){};
}

INLINE int64_t weight_size(cmglu_data_type type) {
  return type == CMGLU_F32 ? 4 : type == CMGLU_I8 ? 1 : 2;
}

INLINE float half_to_float(uint16_t half) {
  const uint32_t magnitude = (uint32_t)(half & 0x7fff) << 13;
  float value;
  memcpy(&value, &magnitude, 4);
  value = (half & 0x7c00) == 0x7c00 ? (half & 0x3ff ? NAN : INFINITY) : value * 0x1p112f;
  return half & 0x8000 ? -value : value;
}

// To the nearest, ties to even.
static uint16_t half_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  const uint16_t sign = (uint16_t)(bits >> 16 & 0x8000);
  bits &= 0x7fffffff;
  if (bits > 0x7f800000) return sign | 0x7e00;
  if (bits >= 0x477ff000) return sign | 0x7c00;  // 65520 and more round to infinity
  if (bits < 0x38800000) {  // below 2^-14: a multiple of 2^-24
    float magnitude;
    memcpy(&magnitude, &bits, 4);
    return sign | (uint16_t)lrintf(magnitude * 0x1p24f);
  }
  bits += 0xfff + (bits >> 13 & 1);
  return sign | (uint16_t)((bits >> 13) - (112 << 10));
}

INLINE uint16_t bfloat_of_float(float value) {
  uint32_t bits;
  memcpy(&bits, &value, 4);
  if (value != value) return (uint16_t)(bits >> 16 | 0x40);
  return (uint16_t)((bits + 0x7fff + (bits >> 16 & 1)) >> 16);
}

// Up to 32 values as integers times a scale; `narrow_scale` rounds the scale to FP16, so that the
// integers fit the scale that is kept. One that is no number makes the scale none.
INLINE float quantize(const float *x, int64_t count, bool narrow_scale, int8_t *q) {
  float largest = 0;
  for (int64_t k = 0; k < count; k++) {
    const float magnitude = fabsf(x[k]);
    if (magnitude > largest || magnitude != magnitude) largest = magnitude;
  }
  float scale = largest / 127;
  if (narrow_scale) scale = half_to_float(half_of_float(scale));
  for (int64_t k = 0; k < count; k++) {
    const float steps = scale > 0 ? x[k] / scale : 0;
    const float whole = steps == steps ? rintf(steps) : 0;
    q[k] = (int8_t)(whole > 127 ? 127 : whole < -127 ? -127 : whole);
  }
  return scale;
}

INLINE float load_half(const char *halves, int64_t index) {
  uint16_t half;
  memcpy(&half, halves + 2 * index, 2);
  return half_to_float(half);
}

static void pack_weights(cmglu_data_type type, const float *values, int64_t columns, void *weights,
                 void *scales) {
  char *w = weights;
  switch (type) {
    case CMGLU_F32: memcpy(w, values, (size_t)columns * 4); break;
    case CMGLU_F16:
    case CMGLU_BF16:
      for (int64_t k = 0; k < columns; k++) {
        const uint16_t bits =
            type == CMGLU_F16 ? half_of_float(values[k]) : bfloat_of_float(values[k]);
        memcpy(w + 2 * k, &bits, 2);
      }
      break;
    case CMGLU_I8:
      for (int64_t k = 0; k < columns; k += CMGLU_GROUP) {
        const int64_t left = columns - k, count = left < CMGLU_GROUP ? left : CMGLU_GROUP;
        const uint16_t scale = half_of_float(quantize(values + k, count, true, (int8_t *)w + k));
        memcpy((char *)scales + k / CMGLU_GROUP * 2, &scale, 2);
      }
      break;
  }
}

static void unpack_weights(const cmglu_packed *p, int64_t row, float *values) {
  const char *w = (const char *)p->weights[0] + row * p->columns * weight_size(p->type);
  const int64_t groups = (p->columns + CMGLU_GROUP - 1) / CMGLU_GROUP;
  for (int64_t k = 0; k < p->columns; k++) {
    char lanes[LANES * 4] = {};
    memcpy(lanes, w + k * weight_size(p->type), (size_t)weight_size(p->type));
    values[k] = widen(p->type, lanes, 0)[0];
    if (p->type == CMGLU_I8)
      values[k] *= load_half((const char *)p->scales[0] + row * groups * 2, k / CMGLU_GROUP);
  }
}

static void pack_masks(const void *planes, int64_t rows, int64_t columns, int64_t masks,
                       uint64_t *words, int64_t begin, int64_t end) {
  const int64_t count = (columns + CMGLU_WORD - 1) / CMGLU_WORD, bytes = (columns + 7) / 8;
  for (int64_t row = begin; row < end; row++)
    for (int64_t g = 0; g < count; g++)
      for (int64_t i = 0; i < masks; i++) {
        const uint8_t *bits = (const uint8_t *)planes + (i * rows + row) * bytes + g * 8;
        const int64_t left = columns - g * CMGLU_WORD;
        uint64_t word = 0;
        for (int64_t k = 0; k < 8 && g * 8 + k < bytes; k++) word |= (uint64_t)bits[k] << (8 * k);
        if (left < CMGLU_WORD) word &= (1ull << left) - 1;
        words[(row * count + g) * masks + i] = word;
      }
}
