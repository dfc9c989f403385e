// training_rows: how the kernels of training read and write rows, eight BF16 elements or some
// floats at a time. A part of training.cu and training_units.cu, which include it within their
// namespaces: it takes their u16, u32 and i64, and WIDE, whether every row begins on 16 bytes.

// Eight BF16, two to a word; of rows that are not WIDE the first `live`, and zeros.
__device__ __forceinline__ uint4 load(const u16 *from, i64 live) {
#if WIDE
  return *(const uint4 *)from;
#else
  u32 pair[4] = {};
#pragma unroll
  for (int k = 0; k < 8; k++)
    if (k < live) pair[k / 2] |= (u32)from[k] << k % 2 * 16;
  return make_uint4(pair[0], pair[1], pair[2], pair[3]);
#endif
}

__device__ __forceinline__ void store(u16 *to, uint4 eight, i64 live) {
#if WIDE
  *(uint4 *)to = eight;
#else
  const u32 pair[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
  for (int k = 0; k < 8; k++)
    if (k < live) to[k] = (u16)(pair[k / 2] >> k % 2 * 16);
#endif
}

// N floats, a multiple of four.
template <int N>
__device__ __forceinline__ void load(const float *from, float (&x)[N], i64 live) {
#if WIDE
#pragma unroll
  for (int k = 0; k < N; k += 4) {
    const float4 four = *(const float4 *)(from + k);
    x[k] = four.x, x[k + 1] = four.y, x[k + 2] = four.z, x[k + 3] = four.w;
  }
#else
#pragma unroll
  for (int k = 0; k < N; k++) x[k] = k < live ? from[k] : 0.f;
#endif
}

__device__ __forceinline__ void store(float *to, const float (&x)[4], i64 live) {
#if WIDE
  *(float4 *)to = make_float4(x[0], x[1], x[2], x[3]);
#else
#pragma unroll
  for (int k = 0; k < 4; k++)
    if (k < live) to[k] = x[k];
#endif
}

__device__ __forceinline__ void widen(uint4 eight, float (&x)[8]) {
  const u32 pair[4] = {eight.x, eight.y, eight.z, eight.w};
#pragma unroll
  for (int k = 0; k < 4; k++) {
    x[2 * k] = __uint_as_float(pair[k] << 16);
    x[2 * k + 1] = __uint_as_float(pair[k] & 0xffff0000u);
  }
}

__device__ __forceinline__ u32 narrow(float low, float high) {
  u32 pair;
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
  return pair;
}

__device__ __forceinline__ uint4 narrow(const float (&x)[8]) {
  return make_uint4(
      narrow(x[0], x[1]), narrow(x[2], x[3]), narrow(x[4], x[5]), narrow(x[6], x[7]));
}
