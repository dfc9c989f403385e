// plain: units and projections over float32 weights as they are stored, in exact float32: routers,
// and models that are run without rounding. Not made for speed.
//
//     masked   a = sum_i p_i g(s_i) (t - s_i)      gated   a = g(x Wg^T) (x Wv^T)
//     linear   a = g(x W^T)                        shared  a = g(x W^T) (x W^T)
//
// Layout    weights [rows][columns], for `gated` a second matrix; masks [count][rows]
//           [ceil(columns / 8)], least significant bit first; x, output [batch][...] float32.
// Launch    (ceil(rows / 8), batch) blocks of 8 warps, a row of W each.

typedef unsigned int u32;

#include "cmglu_numbers.h"

constexpr int WARPS = 8;
constexpr int MOST_MASKS = 16;

// Mirrored by cmglu_cuda_plain in cmglu_cuda.h.
struct Plain {
  const float *weights, *gate;  // gate: of GATED; weights are the value's then
  const unsigned char *masks;
  const float *x, *routes, *norm;
  float *output;
  int rows, columns, masksCount, gating, activation, accumulate;
  float epsilon;
  int outputStride;  // elements from a row of output to the next
};

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

#include "activations.cu"

extern "C" __global__ void __launch_bounds__(WARPS * 32, 1) plain(const __grid_constant__ Plain f) {
  __shared__ float squares[WARPS];
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5, b = blockIdx.y;
  const long long row = blockIdx.x * (long long)WARPS + warp;
  const float *x = f.x + (long long)b * f.columns;
  float scale = 1.f;
  if (f.norm) {
    float sum = 0.f;
    for (int k = threadIdx.x; k < f.columns; k += WARPS * 32) sum += x[k] * x[k];
    sum = warp_sum(sum);
    if (lane == 0) squares[warp] = sum;
    __syncthreads();
    float total = 0.f;
    for (int i = 0; i < WARPS; i++) total += squares[i];
    scale = rsqrtf(total / f.columns + f.epsilon);
  }
  if (row >= f.rows) return;
  const float *w = f.weights + row * f.columns, *gate = f.gate + row * f.columns;
  const long long stride = (f.columns + 7) / 8;
  float t = 0.f, s[MOST_MASKS] = {};
  for (int k = lane; k < f.columns; k += 32) {
    const float input = f.norm ? x[k] * scale * f.norm[k] : x[k], product = input * w[k];
    t += product;
    if (f.gating == CMGLU_GATED) s[0] += input * gate[k];
#pragma unroll
    for (int i = 0; i < MOST_MASKS; i++)
      if (i < f.masksCount && (f.masks[(i * (long long)f.rows + row) * stride + k / 8] >> (k % 8) & 1))
        s[i] += product;
  }
  t = warp_sum(t);
  float a = 0.f;
  if (f.gating == CMGLU_GATED) a = activate<true>(warp_sum(s[0]), f.activation) * t;
  else if (f.masksCount == 0) a = activate<true>(t, f.activation) * (f.gating == CMGLU_SHARED ? t : 1.f);
#pragma unroll
  for (int i = 0; i < MOST_MASKS; i++) {
    if (i >= f.masksCount) continue;
    const float sum = warp_sum(s[i]);
    const float g = activate<true>(f.gating == CMGLU_NO_GATE_MASK ? t : sum, f.activation);
    const float value = f.gating == CMGLU_NO_VALUE_MASK ? t : t - sum;
    a += (f.routes ? f.routes[b * f.masksCount + i] : 1.f) * g * value;
  }
  if (lane != 0) return;
  float *output = f.output + (long long)b * f.outputStride + row;
  *output = f.accumulate ? *output + a : a;
}
