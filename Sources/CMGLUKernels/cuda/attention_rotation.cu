// attention_rotation: rotary positions, halves against halves as in Hugging Face's. A part of
// attention's kernels and of decode.cu, which include it: it takes their HEAD, and ROTARY where not all
// of a head is rotated.

#ifndef ROTARY
#define ROTARY HEAD
#endif

constexpr int HALF = HEAD / 2;
constexpr int TURNS = ROTARY / 2;  // pairs that are rotated

// The elements of pair i: those that are rotated against each other, then the others, halves against
// halves too.
__device__ __forceinline__ int low_of(int i) { return TURNS == HALF || i < TURNS ? i : i + TURNS; }
__device__ __forceinline__ int high_of(int i) { return i + (TURNS < HALF && i < TURNS ? TURNS : HALF); }

// Roundings are written out, so that they are the same in every kernel.
__device__ __forceinline__ void rotate(float &low, float &high, float cosine, float sine) {
  const float rotated = fmaf(low, cosine, -__fmul_rn(high, sine));
  high = fmaf(high, cosine, __fmul_rn(low, sine));
  low = rotated;
}
