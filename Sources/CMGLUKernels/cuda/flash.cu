// FlashMGLU for NVIDIA GPUs: a feed-forward unit, or a plain projection, in one pass over its
// weights and mask bits, for 1 to 16 columns of input.
//
//     masked   a = sum_i p_i g(s_i) (t - s_i),  t = x W^T,  s_i = x (M_i . W)^T
//     gated    a = g(x Wg^T) (x Wv^T)
//     linear   a = g(x W^T)             shared  a = g(x W^T) (x W^T)
//
// One variant is compiled per mask count, number of matrices, 16-bit type and column tiles:
//     MASKS 0...16, PLANES 1 or 2 (gate and value), BF16 0 or 1, TILES 1 or 2 (of 8 columns),
//     STAGED 0 or 1 (x comes from `stage` through memory, for rows that shared memory cannot hold)
//
// Arithmetic. Tensor cores multiply 16 rows of W by up to 8 columns (mma.m16n8k16, float32 sums),
// so a batch costs what one row costs. A mask does not zero weights, it flips signs: with
// u_i = sum +-w x (plus where M_i is 1), s_i = (t + u_i) / 2 and t - s_i = (t - u_i) / 2. Applying a
// mask to two weights is one shift and one three-input logic operation, w ^ (bits & 0x80008000).
// Inputs are rounded to the weights' type, or split into pieces (FP16 2, BF16 3) that take a column
// each and add up to float32.
//
// Layout. A cell is 16 rows x 64 columns in the order in which a warp's registers want them:
//     [PLANES][block 2][half 2][lane 32] of 8 weights   row lane / 4 + 8 half,
//                                                       column 32 block + 8 (lane % 4)
//     [MASKS / V][lane 32][V] of 32-bit mask words      V is the largest of 4, 2, 1 that divides MASKS
// so W and its bits are one stream of exactly 16 + MASKS bits per element. Cells of a tile of 16
// rows follow one another; rows and columns are padded with zeros to 16 and 64 (pack.cu).
//
// Work. A block takes tiles blockIdx.x, + gridDim.x, ...; its 8 warps split the columns, each with a
// ring of stages of its own that bulk copies fill (cp.async before Hopper). The ring is filled
// before the kernel waits for the one that computes its input (programmatic dependent launch), so
// the memory stays busy between kernels; a few stages at a time, because small reads queue behind
// copies on their way. Sums of the warps meet in shared memory in a fixed order: a row's result
// depends neither on its batch nor on the grid.
//
// Measured on an H100 (2026-11-24, FP16, batch 1, cold weights, graph replay), microseconds at
// 8192 x 2048 and 14336 x 4096; the bytes at the read bandwidth of that card, 3.09 TB/s, and the
// prototype of a warp per row with float32 masked additions:
//     n_m            1            2            4            8
//     this       12.1  41.3   12.8  43.1   14.4  48.4   17.9  59.4
//     bytes      11.5  40.4   12.2  42.8   13.6  47.5   16.3  57.0
//     prototype  13.9  42.9   14.9  45.9   17.1  52.5   22.0  63.4
// Steps on the way, n_m = 8: shifts on the unit of the logic operations 21.3 and 61.9; as products,
// and a thread per mask in the sums' last step 19.2 and 58.9; rings filled a few stages at a time
// 17.9 and 59.4 (which costs n_m = 1 a microsecond at the large shape).

#ifndef MASKS
#define MASKS 1
#endif
#ifndef PLANES
#define PLANES 1
#endif
#ifndef BF16
#define BF16 0
#endif
#ifndef TILES
#define TILES 1
#endif
#ifndef STAGED
#define STAGED 0
#endif

// Points of a block's life, which Benchmarks/cuda/step_timeline.cu takes the time of.
#ifndef MARK
#define MARK(point)
#endif

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

constexpr int WARPS = 8;
constexpr int STREAMS = PLANES == 2 ? 2 : MASKS + 1;
constexpr int PLANE_BYTES = 16 * 64 * 2;
constexpr int CELL_BYTES = PLANES * PLANE_BYTES + MASKS * 32 * 4;
// Threads that share an output: a power of two of at least MASKS.
constexpr int TERMS = MASKS > 8 ? 16 : MASKS > 4 ? 8 : MASKS > 2 ? 4 : MASKS > 1 ? 2 : 1;
// Stages of a warp that are on their way while the input is not there: what other kernels wait for
// would queue behind more of them, and fewer would leave the memory idle.
#ifndef WINDOW_BYTES
#define WINDOW_BYTES 40960
#endif
constexpr int WINDOW = WINDOW_BYTES / (8 * CELL_BYTES) > 1 ? WINDOW_BYTES / (8 * CELL_BYTES) : 1;
constexpr int VECTOR = MASKS % 4 == 0 ? 4 : MASKS % 2 == 0 ? 2 : 1;

enum { FLOAT32 = 0, FLOAT16 = 1, BFLOAT16 = 2 };
enum { SIGMOID = 0, SILU = 1, GELU = 2, GELU_TANH = 3, RELU = 4, IDENTITY = 5 };
enum { LINEAR = 0, GATED = 1, SHARED = 2, MASKED = 3, NO_GATE_MASK = 4, NO_VALUE_MASK = 5 };

// Mirrored by cmglu_cuda_flash in cmglu_cuda.h.
struct Flash {
  const unsigned char *cells;  // [tiles][ceil(columns / 64)][CELL_BYTES]
  const void *x;               // [batch][columns] of inputType
  void *output;                // [batch][outputStride] of outputType
  const float *routes;         // [batch][MASKS], or null: every p_i is 1
  const float *norm;           // [columns] weight of an RMSNorm of x, or null
  unsigned char *staged;       // [batch * pieces][input_stride], or null
  long long outputStride;
  int rows, columns, batch;
  int pieces;                  // columns of each row of x: batch * pieces <= 8 TILES
  int inputType, outputType;
  int activation, gating;
  int accumulate;              // output += a
  int stages;                  // of a warp's ring, a cell each
  float epsilon;
  int isChained;               // whether kernels before and after depend on each other
};

// 16-bit numbers ---------------------------------------------------------------------------------

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
  if (type == FLOAT32) return ((const float *)x)[index];
  const u16 bits = ((const u16 *)x)[index];
  return type == FLOAT16 ? half_to_float(bits) : bfloat_to_float(bits);
}

__device__ __forceinline__ void store(void *y, int type, long long index, float value) {
  if (type == FLOAT32) {
    ((float *)y)[index] = value;
  } else {
    u16 bits;
    if (type == FLOAT16) {
      asm("cvt.rn.f16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    } else {
      asm("cvt.rn.bf16.f32 %0, %1;" : "=h"(bits) : "f"(value));
    }
    ((u16 *)y)[index] = bits;
  }
}

// Copies in flight -------------------------------------------------------------------------------

__device__ __forceinline__ u32 shared_address(const void *p) {
  return (u32)__cvta_generic_to_shared(p);
}

__device__ __forceinline__ void barrier_init(u32 barrier) {
#if __CUDA_ARCH__ >= 900
  asm volatile("mbarrier.init.shared.b64 [%0], 1;" ::"r"(barrier) : "memory");
#else
  asm volatile("mbarrier.init.shared.b64 [%0], 32;" ::"r"(barrier) : "memory");
#endif
}

// Starts the copy of a stage by one warp; the barrier completes when all of it has arrived.
__device__ __forceinline__ void copy_stage(
    u32 target, const unsigned char *source, u32 bytes, u32 barrier, int lane, u64 policy) {
#if __CUDA_ARCH__ >= 900
  if (lane == 0) {
    asm volatile("mbarrier.arrive.expect_tx.shared.b64 _, [%0], %1;" ::"r"(barrier), "r"(bytes)
                 : "memory");
    asm volatile(
        "cp.async.bulk.shared::cluster.global.mbarrier::complete_tx::bytes.L2::cache_hint"
        " [%0], [%1], %2, [%3], %4;" ::"r"(target), "l"(source), "r"(bytes), "r"(barrier),
        "l"(policy)
        : "memory");
  }
#else
  for (u32 offset = lane * 16; offset < bytes; offset += 512)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16;" ::"r"(target + offset),
                 "l"(source + offset)
                 : "memory");
  asm volatile("cp.async.mbarrier.arrive.noinc.shared.b64 [%0];" ::"r"(barrier) : "memory");
#endif
}

// Whether a phase is complete; may take a moment to say that it is not.
__device__ __forceinline__ bool is_complete(u32 barrier, u32 parity) {
  u32 done;
#if __CUDA_ARCH__ >= 900
  asm volatile(
      "{ .reg .pred p; mbarrier.try_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
#else
  asm volatile(
      "{ .reg .pred p; mbarrier.test_wait.parity.shared.b64 p, [%1], %2; selp.u32 %0, 1, 0, p; }"
      : "=r"(done) : "r"(barrier), "r"(parity) : "memory");
#endif
  return done;
}

__device__ __forceinline__ void barrier_wait(u32 barrier, u32 parity) {
  while (!is_complete(barrier, parity)) {
  }
}

__device__ __forceinline__ void launch_dependents() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
#endif
}

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

// Shifts as products, which the compiler must not see through: multiplications and logic operations
// run on units of their own, shifts and logic operations share one.
__constant__ u32 POWERS[16] = {1,      2,      4,      8,       16,      32,      64,      128,
                               1 << 8, 1 << 9, 1 << 10, 1 << 11, 1 << 12, 1 << 13, 1 << 14, 1 << 15};

// Products ---------------------------------------------------------------------------------------

__device__ __forceinline__ void multiply(
    float (&sum)[4], u32 a0, u32 a1, u32 a2, u32 a3, u32 b0, u32 b1) {
#if BF16
  asm("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
  asm("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
      " {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sum[0]), "+f"(sum[1]), "+f"(sum[2]), "+f"(sum[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

__device__ __forceinline__ u32 component(const uint4 &v, int index) {
  return index == 0 ? v.x : index == 1 ? v.y : index == 2 ? v.z : v.w;
}

// Adds a cell's products to the sums. x points at this lane's column of the first tile; a second
// plane lies `plane_stride` bytes behind the first.
__device__ __forceinline__ void add_cell(
    float (&sum)[STREAMS][TILES][4], const unsigned char *cell, int plane_stride,
    const unsigned char *x, const unsigned char *x1, int lane) {
  u32 words[MASKS > 0 ? MASKS : 1];
#pragma unroll
  for (int group = 0; group < MASKS / VECTOR; group++) {
    const unsigned char *from =
        cell + PLANES * PLANE_BYTES + (group * 32 + lane) * VECTOR * 4;
    if (VECTOR == 4) {
      const uint4 v = *(const uint4 *)from;
#pragma unroll
      for (int i = 0; i < 4; i++) words[group * VECTOR + i] = component(v, i);
    } else if (VECTOR == 2) {
      const uint2 v = *(const uint2 *)from;
      words[group * VECTOR] = v.x;
      words[group * VECTOR + VECTOR - 1] = v.y;
    } else {
      words[group] = *(const u32 *)from;
    }
  }
#pragma unroll
  for (int block = 0; block < 2; block++) {
    uint4 input[TILES];
    input[0] = *(const uint4 *)(x + block * 64);
    if (TILES > 1) input[TILES - 1] = *(const uint4 *)(x1 + block * 64);
    uint4 top[PLANES], bottom[PLANES];
#pragma unroll
    for (int plane = 0; plane < PLANES; plane++) {
      const uint4 *w = (const uint4 *)(cell + plane * plane_stride) + block * 64 + lane;
      top[plane] = w[0];
      bottom[plane] = w[32];
    }
#pragma unroll
    for (int step = 0; step < 2; step++) {
#pragma unroll
      for (int plane = 0; plane < PLANES; plane++) {
        const u32 a[4] = {component(top[plane], 2 * step), component(bottom[plane], 2 * step),
                          component(top[plane], 2 * step + 1),
                          component(bottom[plane], 2 * step + 1)};
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
          multiply(sum[PLANES == 2 ? plane : MASKS][tile], a[0], a[1], a[2], a[3],
                   component(input[tile], 2 * step), component(input[tile], 2 * step + 1));
#pragma unroll
        for (int mask = 0; mask < MASKS; mask++) {
          u32 m[4];
#pragma unroll
          for (int r = 0; r < 4; r++)
            m[r] = a[r] ^ (words[mask] * POWERS[block * 8 + step * 4 + r] & 0x80008000u);
#pragma unroll
          for (int tile = 0; tile < TILES; tile++)
            multiply(sum[mask][tile], m[0], m[1], m[2], m[3],
                     component(input[tile], 2 * step), component(input[tile], 2 * step + 1));
        }
      }
    }
  }
}

// Activation -------------------------------------------------------------------------------------

__device__ __forceinline__ float activate(float x, int activation) {
  switch (activation) {
    case SIGMOID: return 1.f / (1.f + __expf(-x));
    case SILU: return x / (1.f + __expf(-x));
    case GELU: return 0.5f * x * (1.f + erff(x * 0.70710678f));
    case GELU_TANH: return 0.5f * x * (1.f + tanhf(0.79788456f * (x + 0.044715f * x * x * x)));
    case RELU: return x > 0.f ? x : 0.f;
    default: return x;
  }
}

// One mask's term of the sum, or the whole of a unit without masks.
__device__ __forceinline__ float combine(float s, float t, const Flash &f) {
  if (PLANES == 2) return activate(s, f.activation) * t;
  if (MASKS == 0) return activate(t, f.activation) * (f.gating == SHARED ? t : 1.f);
  const float gate = f.gating == NO_GATE_MASK ? t : 0.5f * (t + s);
  const float value = f.gating == NO_VALUE_MASK ? t : 0.5f * (t - s);
  return activate(gate, f.activation) * value;
}

// Input ------------------------------------------------------------------------------------------

// Eight elements of a row from column k on, zeros beyond its end.
__device__ __forceinline__ void load_chunk(const Flash &f, int row, int k, float (&value)[8]) {
  const long long first = (long long)row * f.columns + k;
  if (f.columns % 8 == 0 && f.inputType == FLOAT32 && k < f.columns) {
    const float4 a = *(const float4 *)((const float *)f.x + first);
    const float4 b = *(const float4 *)((const float *)f.x + first + 4);
    value[0] = a.x, value[1] = a.y, value[2] = a.z, value[3] = a.w;
    value[4] = b.x, value[5] = b.y, value[6] = b.z, value[7] = b.w;
  } else {
#pragma unroll
    for (int i = 0; i < 8; i++)
      value[i] = k + i < f.columns ? load(f.x, f.inputType, first + i) : 0.f;
  }
}

__device__ __forceinline__ void scale_chunk(const Flash &f, int k, float scale, float (&value)[8]) {
#pragma unroll
  for (int i = 0; i < 8; i++)
    if (k + i < f.columns) value[i] *= scale * f.norm[k + i];
}

// Stores a chunk in the weights' type, in pieces that add up to it: a row of `xs` each.
__device__ __forceinline__ void store_chunk(
    const Flash &f, unsigned char *xs, int stride, int row, int k, float (&value)[8]) {
  for (int piece = 0; piece < f.pieces; piece++) {
    uint4 packed;
    packed.x = narrow(value[0], value[1]);
    packed.y = narrow(value[2], value[3]);
    packed.z = narrow(value[4], value[5]);
    packed.w = narrow(value[6], value[7]);
    *(uint4 *)(xs + (long long)(row * f.pieces + piece) * stride + k * 2) = packed;
#pragma unroll
    for (int i = 0; i < 4; i++) {
      const float2 taken = widen(component(packed, i));
      value[2 * i] -= taken.x;
      value[2 * i + 1] -= taken.y;
    }
  }
}

__device__ __forceinline__ float warp_sum(float value) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  return value;
}

__device__ __forceinline__ float squares(const float (&value)[8]) {
  float sum = 0.f;
#pragma unroll
  for (int i = 0; i < 8; i++) sum += value[i] * value[i];
  return sum;
}

// Chunks that a thread has in flight while x is staged.
constexpr int AHEAD = TILES > 1 ? 2 : 4;

// One row: read once, where it is no longer than the threads can hold. The block's sum of squares
// is added up in an order that does not depend on the length.
__device__ __forceinline__ void stage_row(
    const Flash &f, unsigned char *xs, int stride, float *scratch, int row) {
  const int chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
  float value[AHEAD][8];
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    const int chunk = threadIdx.x + a * step;
    if (chunk < chunks) load_chunk(f, row, chunk * 8, value[a]);
  }
  float scale = 1.f;
  if (f.norm) {
    float sum = 0.f, more[8];
#pragma unroll
    for (int a = 0; a < AHEAD; a++)
      if (threadIdx.x + a * step < chunks) sum += squares(value[a]);
    for (int chunk = threadIdx.x + AHEAD * step; chunk < chunks; chunk += step) {
      load_chunk(f, row, chunk * 8, more);
      sum += squares(more);
    }
    sum = warp_sum(sum);
    if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = sum;
    __syncthreads();
    float total = 0.f;
#pragma unroll
    for (int w = 0; w < WARPS; w++) total += scratch[w];
    scale = rsqrtf(total / f.columns + f.epsilon);
  }
#pragma unroll
  for (int a = 0; a < AHEAD; a++) {
    const int k = (threadIdx.x + a * step) * 8;
    if (k >= chunks * 8) break;
    if (f.norm) scale_chunk(f, k, scale, value[a]);
    store_chunk(f, xs, stride, row, k, value[a]);
  }
  for (int chunk = threadIdx.x + AHEAD * step; chunk < chunks; chunk += step) {
    load_chunk(f, row, chunk * 8, value[0]);
    if (f.norm) scale_chunk(f, chunk * 8, scale, value[0]);
    store_chunk(f, xs, stride, row, chunk * 8, value[0]);
  }
}

// All rows of x in the weights' type, in pieces: [batch * pieces][stride bytes], zeros beyond its
// columns. `scratch` holds WARPS or batch floats.
__device__ __forceinline__ void stage_input(
    const Flash &f, unsigned char *xs, int stride, float *scratch) {
  if (f.batch == 1) return stage_row(f, xs, stride, scratch, 0);
  const int lane = threadIdx.x & 31, chunks = (f.columns + 63) / 64 * 8, step = WARPS * 32;
  if (f.norm) {
    for (int row = threadIdx.x >> 5; row < f.batch; row += WARPS) {
      // As stage_row adds them up: a row's norm does not depend on its batch.
      float total = 0.f;
#pragma unroll
      for (int w = 0; w < WARPS; w++) {
        float sum = 0.f, value[8];
        for (int chunk = w * 32 + lane; chunk < chunks; chunk += step) {
          load_chunk(f, row, chunk * 8, value);
          sum += squares(value);
        }
        total += warp_sum(sum);
      }
      if (lane == 0) scratch[row] = rsqrtf(total / f.columns + f.epsilon);
    }
    __syncthreads();
  }
  const int count = f.batch * chunks;
  for (int start = threadIdx.x; start < count; start += step * AHEAD) {
    float value[AHEAD][8];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int item = start + a * step;
      if (item < count) load_chunk(f, item / chunks, item % chunks * 8, value[a]);
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int item = start + a * step, row = item / chunks, k = item % chunks * 8;
      if (item >= count) break;
      if (f.norm) scale_chunk(f, k, scratch[row], value[a]);
      store_chunk(f, xs, stride, row, k, value[a]);
    }
  }
}

// Rows of staged input are this far apart: half a bank cycle more than whole ones, so that the two
// rows of a quarter warp meet no conflict.
__device__ __forceinline__ int input_stride(int columns) { return (columns + 63) / 64 * 128 + 64; }

#ifndef HELPERS  // all that decode.cu includes
// Kernel -----------------------------------------------------------------------------------------

extern "C" __global__ void __launch_bounds__(WARPS * 32, MASKS <= 8 && TILES == 1 ? 2 : 1)
flash(const __grid_constant__ Flash f) {
  extern __shared__ __align__(128) unsigned char memory[];
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  MARK(0);
  const int columns = f.batch * f.pieces;
  const int cells = (f.columns + 63) / 64;
  const int first = warp * cells / WARPS, own = (warp + 1) * cells / WARPS - first;
  const int tiles = (f.rows + 15) / 16;
  const int stride = input_stride(f.columns);

  // [ring WARPS][barriers WARPS][x unless STAGED][sums 2 x WARPS x STREAMS x 16 x columns][scratch]
  unsigned char *ring = memory + warp * f.stages * CELL_BYTES;
  unsigned char *after = memory + WARPS * f.stages * CELL_BYTES;
  const u32 barriers = shared_address(after) + warp * f.stages * 8;
  after += (WARPS * f.stages * 8 + 127) / 128 * 128;
#if STAGED
  const unsigned char *xs = f.staged;
  float *partial = (float *)after;
#else
  unsigned char *xs = after;
  float *partial = (float *)(after + columns * stride);
#endif
  const int sums = WARPS * STREAMS * 16 * columns;

  u64 policy = 0;
#if __CUDA_ARCH__ >= 900
  asm("createpolicy.fractional.L2::evict_first.b64 %0, 1.0;" : "=l"(policy));
#endif
  float *scratch = partial + 2 * sums;
  volatile int *has_input = (volatile int *)(scratch + WARPS + columns - 1);
  if (threadIdx.x == 0) *has_input = 0;
  // Small reads first: behind the copies of the ring they would wait for all of them.
  if (f.norm)
    for (int k = threadIdx.x * 32; k < f.columns; k += WARPS * 32 * 32)
      asm volatile("prefetch.global.L2 [%0];" ::"l"(f.norm + k));
  if (lane == 0) {
    for (int stage = 0; stage < f.stages; stage++) barrier_init(barriers + stage * 8);
#if __CUDA_ARCH__ >= 900
    asm volatile("fence.mbarrier_init.release.cluster;" ::: "memory");
#endif
  }
  __syncthreads();

  // The cell of the next copy: the ring runs ahead of the sums, across tiles.
  int next_tile = blockIdx.x, next_cell = 0;
  auto fill = [&](int stage) {
    if (next_tile >= tiles || own == 0) return;
    copy_stage(
        shared_address(ring + stage * CELL_BYTES),
        f.cells + ((long long)next_tile * cells + first + next_cell) * CELL_BYTES, CELL_BYTES,
        barriers + stage * 8, lane, policy);
    if (++next_cell == own) next_cell = 0, next_tile += gridDim.x;
  };
  int filled = 0;
  for (; filled < min(WINDOW, f.stages); filled++) fill(filled);

  // One warp waits for the input, the others fill their rings meanwhile, a few stages at a time.
  // What comes next may start at once, or, in a chain, when nothing here waits for memory any more
  // that its copies would be in the way of.
  MARK(1);
  if (!f.isChained) launch_dependents();
  if (warp == 0) {
    wait_for_input();
    *has_input = 1;
  } else {
    bool is_waiting = own > 0;
    while (is_waiting && filled < f.stages) {
      bool has_arrived = false;
      if (lane == 0) {
        is_waiting = !*has_input;
        has_arrived = is_complete(barriers + (filled - WINDOW) * 8, 0);
      }
      is_waiting = __shfl_sync(~0u, is_waiting, 0);
      if (__shfl_sync(~0u, has_arrived, 0)) fill(filled++);
    }
  }
  wait_for_input();
  MARK(2);
#if !STAGED
  stage_input(f, xs, stride, scratch);
  __syncthreads();
#endif

  MARK(3);
  for (; filled < f.stages; filled++) fill(filled);
  if (f.isChained) launch_dependents();

  // This lane's column of x, and of the second tile; surplus columns repeat one that exists.
  const unsigned char *mine = xs + (lane & 3) * 16 + first * 128;
  const unsigned char *x0 = mine + (long long)min(lane >> 2, columns - 1) * stride;
  const unsigned char *x1 = mine + (long long)min(8 + (lane >> 2), columns - 1) * stride;

  int stage = 0, round = 0;
  u32 parity = 0;
  for (int tile = blockIdx.x; tile < tiles; tile += gridDim.x, round++) {
    float sum[STREAMS][TILES][4] = {};
    // A thread for each mask of each output, other warps every time. What it adds to is on its way
    // while the products are made.
    const int count = 16 * f.batch * TERMS;
    const int first_item = (threadIdx.x + (round & 1) * WARPS * 16) % (WARPS * 32);
    float before = 0.f;
    if (f.accumulate && first_item < count && first_item % TERMS == 0) {
      const int row = tile * 16 + (first_item / TERMS & 15);
      const long long b = first_item / (TERMS * 16);
      if (row < f.rows) before = load(f.output, f.outputType, b * f.outputStride + row);
    }
    for (int cell = 0; cell < own; cell++) {
      barrier_wait(barriers + stage * 8, parity);
      add_cell(
          sum, ring + stage * CELL_BYTES, PLANE_BYTES, x0 + cell * 128, x1 + cell * 128, lane);
      __syncwarp();
      fill(stage);
      if (++stage == f.stages) stage = 0, parity ^= 1;
    }

    // [warp][column][row 16][STREAMS]
    float *all = partial + (round & 1) * sums, *own_sums = all + warp * columns * 16 * STREAMS;
#pragma unroll
    for (int stream = 0; stream < STREAMS; stream++)
#pragma unroll
      for (int t = 0; t < TILES; t++)
#pragma unroll
        for (int i = 0; i < 4; i++) {
          const int row = (lane >> 2) + (i >> 1) * 8, column = t * 8 + (lane & 3) * 2 + (i & 1);
          if (column < columns) own_sums[(column * 16 + row) * STREAMS + stream] = sum[stream][t][i];
        }
    __syncthreads();
    if (round == 0) {
      MARK(4);
    }
    for (int item = first_item; item < count; item += WARPS * 32) {
      const int mask = item % TERMS, row = item / TERMS & 15, b = item / (TERMS * 16);
      float s = 0.f, t = 0.f;
      for (int piece = 0; piece < f.pieces; piece++)
#pragma unroll
        for (int w = 0; w < WARPS; w++) {
          const float *from =
              all + ((w * columns + b * f.pieces + piece) * 16 + row) * STREAMS;
          t += from[STREAMS - 1];
          if (STREAMS > 1) s += from[MASKS > 0 ? min(mask, MASKS - 1) : 0];
        }
      float a = combine(s, t, f);
      if (MASKS > 0) {
        if (f.routes) a *= f.routes[b * MASKS + min(mask, MASKS - 1)];
        if (mask >= MASKS) a = 0.f;
      }
#pragma unroll
      for (int other = 1; other < TERMS; other *= 2) a += __shfl_xor_sync(~0u, a, other);
      if (mask > 0 || tile * 16 + row >= f.rows) continue;
      const long long index = b * f.outputStride + tile * 16 + row;
      if (f.accumulate) a += item == first_item ? before : load(f.output, f.outputType, index);
      store(f.output, f.outputType, index, a);
    }
  }
  MARK(5);
}

#if STAGED
// A block for each row of x; one that is staged costs a launch and its bytes once more.
extern "C" __global__ void __launch_bounds__(WARPS * 32) stage(const __grid_constant__ Flash f) {
  __shared__ float scratch[WARPS];
  launch_dependents();
  wait_for_input();
  stage_row(f, f.staged, input_stride(f.columns), scratch, blockIdx.x);
}
#endif
#endif
