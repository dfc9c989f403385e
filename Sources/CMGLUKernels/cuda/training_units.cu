// training_units: everything of a feed-forward unit in training but its products.
//
//     masked   a = sum_i p_i g(s_i) (t - s_i)      gated   a = g(s) t
//     linear   a = g(t)                            shared  a = g(t) t
//
// All are sums of terms p g(u) v, where u is s or t, and v is t, t - s or 1. Backward, with the
// upstream gradient dA of a:
//
//     du = dA p g'(u) v      dv = dA p g(u)      dp = sum over columns of dA g(u) v
//
// stack_masked      stack = [M_1 (.) W; ...; M_m (.) W; W], M_i = 1 where L_i > 0.
// unstack_gradient  dW += sum_i M_i (.) P_i + Q, dL_i += W (.) P_i, stack gradient [P_1; ...; Q]; = in place
//                   of += unless it accumulates.
// combine           a from the streams.
// combine_backward  the streams' gradient, which may take the place of the streams, and dp.
// route_backward    dlogits = p (.) (dp - sum_k p_k dp_k).
//
// Layout    Activations, the stack and their gradients are BF16: streams [rows][STREAMS][width],
//           a [rows][width]. W, L, the stack's gradient and what it becomes are float32
//           [d h], planes of it one after the other; routes [rows][MASKS] float32, the gradient of
//           their logits BF16. Whatever is computed is computed in float32 and rounded once.
// Variants  MASKS 0 to 16, GATING, ACTIVATION, ROUTED (whether there are p_i) for the two combines;
//           WIDE 1 where every row begins at a multiple of 16 bytes, 0 for any other width.
// Launch    A thread takes 8 elements at a time (unstack_gradient 4). The combines: a block per
//           row, a multiple of 32 threads up to 256, which loops over the columns; the others: 256
//           threads, as many blocks as elements need, route_backward a thread per row.
//
// A thread loads all its streams before it stores anything: in place, the compiler may not move a
// load over a store, and the loads would follow one another. Sums over columns are made in a fixed
// order, so results are the same bit for bit at every run.
//
// Measured on an H100 (2026-11-25, SiLU, 16384 tokens, d 3072; W 3072 x 768), microseconds and
// GB/s, of some 3000 that the card reads:
//     n_m                    0 (gated)       1            4            8        8, routes
//     combine               102 2949    102 2948    201 3002    333 3020    348 2895
//     combine_backward      171 2943    171 2938    379 2926    653 2929    654 2925
//     stack_masked                      6.4 4415   25.9 2735   46.2 2755
//     unstack_gradient                 25.4 2977   64.5 2924    114 2975
//     route_backward                         4.7          5.6          6.0, a launch's time
// With exact GELU, n_m = 8: 397 us (2535) and 653 us (2928): forward is bound by its arithmetic.

#ifndef MASKS
#define MASKS 1
#endif
#ifndef GATING
#define GATING 3
#endif
#ifndef ACTIVATION
#define ACTIVATION 1
#endif
#ifndef ROUTED
#define ROUTED 0
#endif
#ifndef WIDE
#define WIDE 1
#endif

typedef unsigned int u32;
typedef unsigned short u16;
typedef long long i64;

#include "cmglu_numbers.h"

namespace units {

constexpr int STREAMS = GATING == CMGLU_GATED ? 2 : GATING >= CMGLU_MASKED ? MASKS + 1 : 1;
constexpr int TERMS = STREAMS > 1 ? STREAMS - 1 : 1;
constexpr int WARPS = 8;  // of a block, at most
constexpr bool GATES_TOTAL = STREAMS == 1 || GATING == CMGLU_NO_GATE_MASK;              // u = t
constexpr bool VALUES_REST = GATING == CMGLU_MASKED || GATING == CMGLU_NO_GATE_MASK;    // v = t - s

#include "activations.cu"
#include "training_rows.cu"

// What a thread holds of a row: the streams' eight columns, and the routes.
struct Streams {
  uint4 side[TERMS], total;

  __device__ __forceinline__ Streams(const u16 *row, int width, int column) {
    const int live = width - column;
    if (STREAMS > 1) {
#pragma unroll
      for (int i = 0; i < TERMS; i++) side[i] = load(row + i * (i64)width + column, live);
    }
    total = load(row + (STREAMS - 1) * (i64)width + column, live);
    if (STREAMS == 1) side[0] = total;
  }
};

// u and v of a term.
__device__ __forceinline__ float gate(float s, float t) { return GATES_TOTAL ? t : s; }
__device__ __forceinline__ float value(float s, float t) {
  return GATING == CMGLU_LINEAR ? 1.f : VALUES_REST ? t - s : t;
}

}  // namespace units

extern "C" __global__ void __launch_bounds__(units::WARPS * 32)
combine(const u16 *streams, const float *routes, u16 *a, int width) {
  using namespace units;
  const i64 row = blockIdx.x;
  for (int j = threadIdx.x * 8; j < width; j += blockDim.x * 8) {
    const Streams x(streams + row * STREAMS * width, width, j);
    float t[8], y[8] = {};
    widen(x.total, t);
#pragma unroll
    for (int i = 0; i < TERMS; i++) {
      float s[8], slope;
      widen(x.side[i], s);
      const float p = ROUTED ? routes[row * TERMS + i] : 1.f;
#pragma unroll
      for (int k = 0; k < 8; k++)
        y[k] += p * (activate(gate(s[k], t[k]), ACTIVATION, slope) * value(s[k], t[k]));
    }
    store(a + row * width + j, narrow(y), width - j);
  }
}

extern "C" __global__ void __launch_bounds__(units::WARPS * 32) combine_backward(
    const u16 *upstream, const u16 *streams, const float *routes, u16 *gradient,
    float *routes_gradient, int width) {
  using namespace units;
  const i64 row = blockIdx.x;
  u16 *out = gradient + row * STREAMS * width;
  float dp[TERMS] = {};
  for (int j = threadIdx.x * 8; j < width; j += blockDim.x * 8) {
    const int live = width - j;
    const Streams x(streams + row * STREAMS * width, width, j);
    float t[8], da[8], dt[8] = {};
    widen(load(upstream + row * width + j, live), da);
    widen(x.total, t);
#pragma unroll
    for (int i = 0; i < TERMS; i++) {
      float s[8], ds[8];
      widen(x.side[i], s);
      const float p = ROUTED ? routes[row * TERMS + i] : 1.f;
#pragma unroll
      for (int k = 0; k < 8; k++) {
        float slope;
        const float g = activate(gate(s[k], t[k]), ACTIVATION, slope), v = value(s[k], t[k]);
        const float du = da[k] * p * slope * v, dv = GATING == CMGLU_LINEAR ? 0.f : da[k] * p * g;
        if (ROUTED) dp[i] += da[k] * g * v;
        ds[k] = (GATES_TOTAL ? 0.f : du) - (VALUES_REST ? dv : 0.f);
        dt[k] += (GATES_TOTAL ? du : 0.f) + dv;
      }
      if (STREAMS > 1) store(out + i * (i64)width + j, narrow(ds), live);
    }
    store(out + (STREAMS - 1) * (i64)width + j, narrow(dt), live);
  }
#if ROUTED
  __shared__ float sums[WARPS][TERMS];
#pragma unroll
  for (int i = 0; i < TERMS; i++) {
#pragma unroll
    for (int offset = 16; offset; offset >>= 1) dp[i] += __shfl_xor_sync(~0u, dp[i], offset);
    if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32][i] = dp[i];
  }
  __syncthreads();
  if (threadIdx.x < TERMS) {
    float sum = 0.f;
    for (int warp = 0; warp < blockDim.x / 32; warp++) sum += sums[warp][threadIdx.x];
    routes_gradient[row * TERMS + threadIdx.x] = sum;
  }
#endif
}

extern "C" __global__ void __launch_bounds__(256) stack_masked(
    const float *__restrict__ weight, const float *__restrict__ logits, u16 *__restrict__ stack,
    i64 size, int masks) {
  using namespace units;
  const i64 at = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * 8, live = size - at;
  if (live <= 0) return;
  float w[8];
  load(weight + at, w, live);
  for (int i = 0; i < masks; i++) {
    float l[8], masked[8];
    load(logits + i * size + at, l, live);
#pragma unroll
    for (int k = 0; k < 8; k++) masked[k] = l[k] > 0.f ? w[k] : 0.f;
    store(stack + i * size + at, narrow(masked), live);
  }
  store(stack + masks * size + at, narrow(w), live);
}

// `logits_gradient` may be null: masks that stay as they are.
extern "C" __global__ void __launch_bounds__(256) unstack_gradient(
    const float *__restrict__ stack_gradient, const float *__restrict__ weight,
    const float *__restrict__ logits, float *__restrict__ weight_gradient,
    float *__restrict__ logits_gradient, i64 size, int masks, int accumulates) {
  using namespace units;
  const i64 at = (blockIdx.x * (i64)blockDim.x + threadIdx.x) * 4, live = size - at;
  if (live <= 0) return;
  float w[4], total[4], dw[4] = {};
  load(weight + at, w, live);
  if (accumulates) load(weight_gradient + at, dw, live);
  load(stack_gradient + masks * size + at, total, live);
#pragma unroll
  for (int k = 0; k < 4; k++) total[k] += dw[k];
  for (int i = 0; i < masks; i++) {
    float p[4], l[4], dl[4] = {};
    load(stack_gradient + i * size + at, p, live);
    load(logits + i * size + at, l, live);
    if (logits_gradient && accumulates) load(logits_gradient + i * size + at, dl, live);
#pragma unroll
    for (int k = 0; k < 4; k++) {
      total[k] += l[k] > 0.f ? p[k] : 0.f;
      if (logits_gradient) dl[k] += w[k] * p[k];
    }
    if (logits_gradient) store(logits_gradient + i * size + at, dl, live);
  }
  store(weight_gradient + at, total, live);
}

extern "C" __global__ void __launch_bounds__(256) route_backward(
    const float *routes_gradient, const float *routes, u16 *logits_gradient, i64 rows, int masks) {
  using namespace units;
  const i64 row = blockIdx.x * (i64)blockDim.x + threadIdx.x;
  if (row >= rows) return;
  const float *p = routes + row * masks, *dp = routes_gradient + row * masks;
  float mean = 0.f;
  for (int i = 0; i < masks; i++) mean += p[i] * dp[i];
  for (int i = 0; i < masks; i++)
    logits_gradient[row * masks + i] = (u16)narrow(p[i] * (dp[i] - mean), 0.f);
}
