// fused_linear_numbers: float32 and the 16-bit types. A part of fused_linear_unit.cu, which includes it: it
// takes u16 and u32, and BF16, which of the two weights are.

__device__ __forceinline__ u32 narrow(float low, float high) {
  u32 pair;
#if BF16
  asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#else
  asm("cvt.rn.f16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
#endif
  return pair;
}

__device__ __forceinline__ float half_to_float(u16 bits) {
  float value;
  asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
  return value;
}

__device__ __forceinline__ float bfloat_to_float(u16 bits) {
  return __uint_as_float((u32)bits << 16);
}

__device__ __forceinline__ float2 widen(u32 pair) {
#if BF16
  return make_float2(bfloat_to_float((u16)pair), bfloat_to_float((u16)(pair >> 16)));
#else
  return make_float2(half_to_float((u16)pair), half_to_float((u16)(pair >> 16)));
#endif
}

__device__ __forceinline__ float load(const void *x, int type, long long index) {
  if (type == CMGLU_F32) return ((const float *)x)[index];
  const u16 bits = ((const u16 *)x)[index];
  return type == CMGLU_F16 ? half_to_float(bits) : bfloat_to_float(bits);
}

__device__ __forceinline__ void store(void *y, int type, long long index, float value) {
  if (type == CMGLU_F32) {
    ((float *)y)[index] = value;
  } else {
    u16 bits;
    if (type == CMGLU_F16) {
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    } else {
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    }
    ((u16 *)y)[index] = bits;
  }
}
