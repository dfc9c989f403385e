// attention_numbers: the elements of queries, keys and values, in memory and in a cache, and how parts of
// a softmax-weighted sum become one. A part of attention's kernels and of decode.cu, which include it: it
// takes their HEAD, and BITS of elements of the cache, 32 where they are float32 and 16 where they are of the
// type that BF16 says; ROW_BITS are those of rows of queries, keys and values (the same, unless given, or 32).

#ifndef BITS
#define BITS 16
#endif
#ifndef ROW_BITS
#define ROW_BITS BITS
#endif
#ifndef BF16
#define BF16 0
#endif

typedef unsigned int u32;
typedef unsigned short u16;

#include "fused_linear_numbers.cu"

constexpr int BLOCK = 64;  // positions of a block of a cache

__device__ __forceinline__ float to_float(float x) { return x; }

#if BITS == 32
typedef float Element;
__device__ __forceinline__ Element to_element(float x) { return x; }
#else
typedef u16 Element;
__device__ __forceinline__ float to_float(Element x) {
#if BF16
  return bfloat_to_float(x);
#else
  return half_to_float(x);
#endif
}
__device__ __forceinline__ Element to_element(float x) { return (u16)narrow(x, 0.f); }
#endif

// A number of a row.
#if ROW_BITS == BITS
typedef Element Number;
#else
typedef float Number;
#endif

// A number as its element holds it.
__device__ __forceinline__ float rounded(float x) { return to_float(to_element(x)); }

__device__ __forceinline__ float power_of_two(float x) {
  float value;
  asm("ex2.approx.ftz.f32 %0, %1;" : "=f"(value) : "f"(x));
  return value;
}

// Element i of a query, of what `splits` have: the number `which` of split s is `number(s, which)`.
// Those without a part have a sum of 0.
template <int MOST, class Number>
__device__ __forceinline__ float merged_value(int splits, int i, float factor, Number number) {
  float largest = -3.0e38f, sum = 0.f, value = 0.f, own[MOST];
#pragma unroll
  for (int s = 0; s < MOST; s++)
    if (s < splits) largest = fmaxf(largest, own[s] = number(s, HEAD));
#pragma unroll
  for (int s = 0; s < MOST; s++)
    if (s < splits) {
      const float weight = power_of_two((own[s] - largest) * factor);
      sum = fmaf(weight, number(s, HEAD + 1), sum);
      value = fmaf(weight, number(s, i), value);
    }
  return __fdiv_rn(value, sum);
}
