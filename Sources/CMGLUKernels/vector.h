// Vectors of CMGLU_LANES floats and the functions of mathematics on them, through the compiler's
// portable vector types: one text serves every instruction set.
#include "CMGLUKernels.h"

#include <math.h>
#include <string.h>

#define LANES CMGLU_LANES
#define INLINE static inline __attribute__((always_inline))

typedef float vf __attribute__((vector_size(LANES * 4), aligned(4)));
typedef double vd __attribute__((vector_size(LANES * 8), aligned(8)));
typedef int32_t vi __attribute__((vector_size(LANES * 4), aligned(4)));

#define UNROLL _Pragma("clang loop unroll(full)")
#define EACH(i, n) UNROLL for (int i = 0; i < (n); i++)

// Visits [0, n) a vector at a time: `j` is the first element, `m` how many of its lanes count.
#define FOR_VECTORS(j, m, n) \
  for (int64_t j = 0, m; j < (n) && (m = (n) - j < LANES ? (n) - j : LANES, true); j += LANES)

INLINE vf splat(float x) { return x - (vf){}; }

INLINE vf load(const float *p, int64_t m) {
  vf v = {};
  if (m == LANES) return *(const vf *)p;
  memcpy(&v, p, (size_t)m * sizeof(float));
  return v;
}

INLINE void store(float *p, vf v, int64_t m) {
  if (m == LANES)
    *(vf *)p = v;
  else
    memcpy(p, &v, (size_t)m * sizeof(float));
}

INLINE vf select(vi mask, vf yes, vf no) { return (vf)(((vi)yes & mask) | ((vi)no & ~mask)); }

INLINE float sum(vf v) {
  float s[LANES];
  memcpy(s, &v, sizeof v);
  for (int width = LANES / 2; width > 0; width /= 2)
    for (int i = 0; i < width; i++) s[i] += s[i + width];
  return s[0];
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

#if LANES == 16
#define FIRST_HALVES 0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23
#define LAST_HALVES 8, 24, 9, 25, 10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31
#elif LANES == 8
#define FIRST_HALVES 0, 8, 1, 9, 2, 10, 3, 11
#define LAST_HALVES 4, 12, 5, 13, 6, 14, 7, 15
#else
#define FIRST_HALVES 0, 4, 1, 5
#define LAST_HALVES 2, 6, 3, 7
#endif

// Lane j of v[i] becomes lane i of v[j]: as many perfect shuffles of all elements as a lane has bits.
INLINE void transpose_vectors(vf *v) {
#pragma clang loop unroll(full)
  for (int count = 1; count < LANES; count *= 2) {
    vf t[LANES];
    EACH(i, LANES / 2) {
      t[2 * i] = __builtin_shufflevector(v[i], v[i + LANES / 2], FIRST_HALVES);
      t[2 * i + 1] = __builtin_shufflevector(v[i], v[i + LANES / 2], LAST_HALVES);
    }
    EACH(i, LANES) v[i] = t[i];
  }
}

INLINE float largest(vf v) {
  float s[LANES];
  memcpy(s, &v, sizeof v);
  for (int i = 1; i < LANES; i++) s[0] = s[i] > s[0] || s[i] != s[i] ? s[i] : s[0];
  return s[0];
}

// The mask as 0 or 1 lanes: logit > 0, so that an exact tie (and NaN) is 0.
INLINE vf masked(vf logits, vf x) { return (vf)((logits > 0) & (vi)x); }

// e^x to about 2 ulp on [-87.3, 88.7], clamped outside; NaN stays NaN.
INLINE vf exponential(vf x) {
  x = select(x < splat(-87.33654f), splat(-87.33654f), x);
  x = select(x > splat(88.72283f), splat(88.72283f), x);
  const vf magic = splat(12582912.f);  // 1.5 * 2^23: adding it rounds to an integer
  vf shifted = x * splat(1.44269504f) + magic;
  vf n = shifted - magic;
  vf r = x - n * splat(0.693359375f) + n * splat(2.12194440e-4f);
  vf p = splat(1.9875691500e-4f);
  p = p * r + splat(1.3981999507e-3f);
  p = p * r + splat(8.3334519073e-3f);
  p = p * r + splat(4.1665795894e-2f);
  p = p * r + splat(1.6666665459e-1f);
  p = p * r + splat(5.0000001201e-1f);
  p = p * r * r + r + splat(1.f);
  // 2^n in two factors, because n = 128 has no float of its own.
  vi whole = (vi)shifted - (vi)magic;
  vi half = whole >> 1;
  vf low = (vf)((half + 127) << 23), high = (vf)((whole - half + 127) << 23);
  return p * low * high;
}

INLINE vf sigmoid(vf x) { return splat(1.f) / (splat(1.f) + exponential(-x)); }

// Phi(x), the standard normal distribution; `density` receives phi(x). The tail is
// phi(x) * erfcx-like polynomial in 1 / (1 + 0.3 |x|), relative error below 1e-7.
INLINE vf normal_distribution(vf x, vf *density) {
  vf e = exponential(splat(-0.5f) * x * x);
  vf t = splat(1.f) / (splat(1.f) + splat(0.3f) * select(x < 0, -x, x));
  vf p = splat(0.077741838991642f);
  p = p * t + splat(-0.34288710355758667f);
  p = p * t + splat(0.46621495485305786f);
  p = p * t + splat(-0.16256460547447205f);
  p = p * t + splat(0.29121965169906616f);
  p = p * t + splat(0.18694517016410828f);
  p = p * t + splat(0.24440918862819672f);
  p = p * t + splat(0.23890280723571777f);
  p = p * t + splat(1.8192617062595673e-05f);
  vf tail = splat(0.5f) * e * p;
  *density = splat(0.3989422804f) * e;
  return select(x < 0, tail, splat(1.f) - tail);
}

// g(x); `slope`, unless NULL, receives g'(x).
INLINE vf activate(cmglu_activation g, vf x, vf *slope) {
  const vf one = splat(1.f);
  switch (g) {
    case CMGLU_SIGMOID: {
      vf y = sigmoid(x);
      if (slope) *slope = y * (one - y);
      return y;
    }
    case CMGLU_SILU: {
      vf y = sigmoid(x);
      if (slope) *slope = y * (one + x * (one - y));
      return x * y;
    }
    case CMGLU_GELU: {
      vf density, y = normal_distribution(x, &density);
      if (slope) *slope = y + x * density;
      return x * y;
    }
    case CMGLU_GELU_TANH: {
      // (1 + tanh u) / 2 = sigmoid(2 u), u = sqrt(2 / pi) (x + 0.044715 x^3)
      vf y = sigmoid(splat(1.595769122f) * (x + splat(0.044715f) * x * x * x));
      vf du = splat(1.595769122f) * (one + splat(0.134145f) * x * x);
      if (slope) *slope = y + x * y * (one - y) * du;
      return x * y;
    }
    case CMGLU_RELU:
      if (slope) *slope = (vf)((x > 0) & (vi)one);
      return select(x <= 0, splat(0.f), x);
    case CMGLU_RELU2: {
      vf y = select(x <= 0, splat(0.f), x);
      if (slope) *slope = y + y;
      return y * y;
    }
    case CMGLU_IDENTITY:
      if (slope) *slope = one;
      return x;
  }
  return x;
}
