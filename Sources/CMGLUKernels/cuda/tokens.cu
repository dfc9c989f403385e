// tokens: the two ends of a decoder's step and the small operations between, none of which reads
// much: copies of tokens and positions, rows of the embedding, the choice of routes and of tokens.
//
// embed        x [rows][columns] = rows of a matrix in the cells of flash.cu (one plane, no masks).
// embed_rows   the same from a float32 matrix.
// copy_words   32-bit words, from or to memory of the host too.
// route        routes [rows][count] = softmax over the topK largest of each row of logits, 0
//              elsewhere; of equal logits the lower index counts as larger. A thread per element.
// choose       token = the choice from logits[count]: temperature, top-k, top-p, min-p, a draw at
//              choice[4]. One block of 512 threads. Masses are integers of 2^-40, so that sums do
//              not depend on an order; tokens as probable as the last one kept are kept too.

typedef unsigned int u32;
typedef unsigned short u16;
typedef unsigned long long u64;

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

extern "C" __global__ void embed(
    const int *tokens, const unsigned char *cells, float *x, int columns, int isBFloat) {
  wait_for_input();
  const int token = tokens[blockIdx.x], perTile = (columns + 63) / 64, row = token & 15;
  const unsigned char *tile = cells + (long long)(token >> 4) * perTile * 2048;
  for (int k = threadIdx.x; k < columns; k += blockDim.x) {
    const int within = k & 63;
    const unsigned char *piece = tile + (k >> 6) * 2048 + (within >> 5) * 1024 + (row >> 3) * 512 +
                                 ((row & 7) * 4 + (within >> 3 & 3)) * 16;
    const u16 bits = ((const u16 *)piece)[k & 7];
    float value;
    if (isBFloat) value = __uint_as_float((u32)bits << 16);
    else asm("cvt.f32.f16 %0, %1;" : "=f"(value) : "h"(bits));
    x[(long long)blockIdx.x * columns + k] = value;
  }
}

extern "C" __global__ void embed_rows(const int *tokens, const float *table, float *x, int columns) {
  wait_for_input();
  const float *row = table + (long long)tokens[blockIdx.x] * columns;
  for (int k = threadIdx.x; k < columns; k += blockDim.x)
    x[(long long)blockIdx.x * columns + k] = row[k];
}

extern "C" __global__ void copy_words(const u32 *source, u32 *target, u64 count) {
  wait_for_input();
  for (u64 i = blockIdx.x * (u64)blockDim.x + threadIdx.x; i < count; i += (u64)gridDim.x * blockDim.x)
    target[i] = source[i];
}

extern "C" __global__ void route(const float *logits, float *routes, int rows, int count, int topK) {
  wait_for_input();
  const int item = blockIdx.x * blockDim.x + threadIdx.x;
  if (item >= rows * count) return;
  const float *row = logits + item / count * count;
  const int own = item % count;
  float largest = row[0], sum = 0.f;
  for (int i = 1; i < count; i++) largest = fmaxf(largest, row[i]);
  bool is_kept = false;
  for (int i = 0; i < count; i++) {
    int rank = 0;
    for (int j = 0; j < count; j++) rank += row[j] > row[i] || (row[j] == row[i] && j < i);
    if (rank >= topK) continue;
    sum += expf(row[i] - largest);
    if (i == own) is_kept = true;
  }
  routes[item] = is_kept ? expf(row[own] - largest) / sum : 0.f;
}

// Choice of a token ------------------------------------------------------------------------------

constexpr int THREADS = 512;
constexpr float MASS = 1099511627776.f;  // 2^40

// Larger for larger numbers, the same for both zeros, 0 for what is no number.
__device__ __forceinline__ u32 order(float value) {
  const u32 bits = value == 0.f ? 0 : __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

__device__ __forceinline__ u64 mass(float logit, float largest, float temperature) {
  const float p = expf((logit - largest) / temperature);
  return p > 0.f ? (u64)(p * MASS) : 0;  // also for what is no number
}

// The sum of every thread's value, for all.
__device__ __forceinline__ u64 block_sum(u64 value, u64 *scratch) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  __syncthreads();
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = value;
  __syncthreads();
  u64 sum = 0;
  for (int i = 0; i < THREADS / 32; i++) sum += scratch[i];
  return sum;
}

// The largest key such that the weights of all logits of at least that key reach `target`: weights
// are 1, or masses. Eight bits at a time, from the top.
__device__ __forceinline__ u32 cut(
    const float *logits, int count, bool byMass, u64 target, u32 floor, float largest,
    float temperature, u64 *bins) {
  __shared__ u32 prefix;
  __shared__ u64 above;
  if (threadIdx.x == 0) prefix = 0, above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    __syncthreads();
    if (threadIdx.x < 256) bins[threadIdx.x] = 0;
    __syncthreads();
    const u32 high = prefix;
    for (int i = threadIdx.x; i < count; i += THREADS) {
      const u32 key = order(logits[i]);
      if (key < floor || (shift < 24 && key >> (shift + 8) != high >> (shift + 8))) continue;
      atomicAdd(bins + (key >> shift & 255), byMass ? mass(logits[i], largest, temperature) : 1);
    }
    __syncthreads();
    if (threadIdx.x == 0) {
      int bin = 255;
      for (; bin > 0 && above + bins[bin] < target; bin--) above += bins[bin];
      prefix = high | (u32)bin << shift;
    }
  }
  __syncthreads();
  return prefix;
}

extern "C" __global__ void __launch_bounds__(THREADS, 1)
choose(const float *logits, const float *choice, int *token, int count) {
  __shared__ u64 scratch[256];
  __shared__ float settings[5];
  __shared__ int chosen;
  wait_for_input();
  // One thread asks the host's memory for them.
  if (threadIdx.x == 0)
    for (int i = 0; i < 5; i++) settings[i] = choice[i];

  u64 best = 0;
  for (int i = threadIdx.x; i < count; i += THREADS) {
    const u64 candidate = (u64)order(logits[i]) << 32 | (u32)(count - 1 - i);
    if (candidate > best) best = candidate;
  }
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) {
    const u64 other = __shfl_xor_sync(~0u, best, offset);
    if (other > best) best = other;
  }
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = best;
  __syncthreads();
  for (int i = 0; i < THREADS / 32; i++) best = scratch[i] > best ? scratch[i] : best;
  const int likeliest = count - 1 - (int)(u32)best;
  const float temperature = settings[0];
  if (temperature == 0.f) {
    if (threadIdx.x == 0) *token = likeliest;
    return;
  }
  const float largest = logits[likeliest];
  const float topP = settings[2];
  const u64 least = (u64)(settings[3] * MASS);
  u32 floor = 0;
  if (settings[1] > 0.f && settings[1] < count)
    floor = cut(logits, count, false, (u64)settings[1], 0, largest, temperature, scratch);
  if (topP < 1.f) {
    u64 own = 0;
    for (int i = threadIdx.x; i < count; i += THREADS)
      if (order(logits[i]) >= floor) own += mass(logits[i], largest, temperature);
    const u64 target = (u64)((double)topP * (double)block_sum(own, scratch));
    floor = cut(logits, count, true, target, floor, largest, temperature, scratch);
  }

  // The draw, among what is kept, in the order of the tokens.
  const int share = (count + THREADS - 1) / THREADS;
  const int from = min((int)threadIdx.x * share, count), to = min(from + share, count);
  auto kept = [&](int i) -> u64 {
    if (order(logits[i]) < floor) return 0;
    const u64 m = mass(logits[i], largest, temperature);
    return m >= least ? m : 0;
  };
  u64 own = 0;
  for (int i = from; i < to; i++) own += kept(i);
  u64 before = own;  // becomes what lies before this thread's tokens
#pragma unroll
  for (int offset = 1; offset < 32; offset <<= 1) {
    const u64 other = __shfl_up_sync(~0u, before, offset);
    if ((threadIdx.x & 31) >= offset) before += other;
  }
  __syncthreads();
  if ((threadIdx.x & 31) == 31) scratch[threadIdx.x >> 5] = before;
  __syncthreads();
  u64 total = 0, earlier = 0;
  for (int i = 0; i < THREADS / 32; i++) {
    if (i == threadIdx.x >> 5) earlier = total;
    total += scratch[i];
  }
  before += earlier - own;
  if (threadIdx.x == 0) chosen = likeliest;
  __syncthreads();
  const u64 drawn = min((u64)((double)settings[4] * (double)total), total > 0 ? total - 1 : 0);
  if (drawn >= before && drawn < before + own) {
    u64 left = drawn - before;
    for (int i = from; i < to; i++) {
      const u64 m = kept(i);
      if (left < m) {
        chosen = i;
        break;
      }
      left -= m;
    }
  }
  __syncthreads();
  if (threadIdx.x == 0) *token = chosen;
}
