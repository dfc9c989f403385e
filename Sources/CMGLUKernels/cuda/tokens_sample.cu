// tokens_sample: samples the next token of each sequence. A part of tokens.cu, which includes it: it
// takes its u32 and u64, and wait_for_input.
//
// sample(logits, parameters, tokens, count, stride, positions, nextTokens, nextPositions): a block of
// 512 threads samples one row. A row of logits has `count` elements; rows begin `stride` elements
// apart, each at a multiple of 16 bytes. parameters[row][0...4] are temperature, top-k, top-p, min-p
// and a draw. The kernel also leaves the token, and the position after positions[row], for the step
// that follows, unless these are null. Masses are integers of 2^-40, so sums do not depend on their
// order; tokens as probable as the last one kept are kept too.
//
// Measured on an H100 (2026-11-26), 50,257 random logits, kernels in order, microseconds of one row and of
// 256: the greedy 10 and 24; a draw from all 31 and 55; top-k of 40 84 and 146 (537 for one row with one set
// of bins for all warps and no bound), top-p of 0.9 of these too 155 and 270; top-p of 0.9 of all 233 and
// 324. With one block on a multiprocessor, and every digit's lanes summing among themselves, 256 rows took
// 30, 70, 177, 320 and 616. The launch and the way to the host's memory are some 5 of a row's.

constexpr int THREADS = 512, WARPS = THREADS / 32;
constexpr float MASS = 1099511627776.f;  // 2^40

// Larger for larger numbers, the same for both zeros, 0 for what is no number.
__device__ __forceinline__ u32 order(float value) {
  const u32 bits = value == 0.f ? 0 : __float_as_uint(value);
  if ((bits & 0x7fffffffu) > 0x7f800000u) return 0;
  return bits & 0x80000000u ? ~bits : bits | 0x80000000u;
}

// The number that a key is of.
__device__ __forceinline__ float logit_of(u32 key) {
  return __uint_as_float(key & 0x80000000u ? key & 0x7fffffffu : ~key);
}

__device__ __forceinline__ u64 mass(float logit, float largest, float temperature) {
  const float p = expf((logit - largest) / temperature);
  return p > 0.f ? (u64)(p * MASS) : 0;  // also for what is no number
}

// take(i, logits[i], whether i < last) for those from `first`, a multiple of four, to `last`, by
// `threads` of which this is the one of `index`: four neighbors each. A warp stays together. One
// block has a whole vocabulary to read: AHEAD loads of each thread are on their way.
template <int AHEAD, class Take>
__device__ __forceinline__ void read(
    const float *logits, int first, int last, int index, int threads, Take take) {
  const int step = threads * 4, lane = threadIdx.x & 31;
  for (int i = first + index * 4; i - lane * 4 < last; i += AHEAD * step) {
    float4 value[AHEAD];
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int at = i + a * step;
      value[a] = make_float4(0.f, 0.f, 0.f, 0.f);
      if (at + 4 <= last) {
        value[a] = *(const float4 *)(logits + at);
      } else {
        if (at < last) value[a].x = logits[at];
        if (at + 1 < last) value[a].y = logits[at + 1];
        if (at + 2 < last) value[a].z = logits[at + 2];
      }
    }
#pragma unroll
    for (int a = 0; a < AHEAD; a++) {
      const int at = i + a * step;
      if (at - lane * 4 >= last) break;
      take(at, value[a].x, at < last);
      take(at + 1, value[a].y, at + 1 < last);
      take(at + 2, value[a].z, at + 2 < last);
      take(at + 3, value[a].w, at + 3 < last);
    }
  }
}

// The sum of every thread's value, for all.
__device__ __forceinline__ u64 block_sum(u64 value, u64 *scratch) {
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) value += __shfl_xor_sync(~0u, value, offset);
  __syncthreads();
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = value;
  __syncthreads();
  u64 sum = 0;
  for (int i = 0; i < WARPS; i++) sum += scratch[i];
  return sum;
}

// Adds each lane's value, of at most 2^40, to the bin of its digit, of those lanes that have one: the
// lanes of a digit first sum among themselves, so that nobody else adds to the bin meanwhile. That is
// for few digits: each is a turn of its own.
__device__ __forceinline__ void add_to_bins(u64 *bins, u32 digit, u64 value, bool has) {
  const u32 same = __match_any_sync(~0u, has ? digit : 256);
  const u64 high = __reduce_add_sync(same, (u32)(value >> 20));
  const u64 sum = (high << 20) + __reduce_add_sync(same, (u32)value & 0xfffff);
  if (has && (threadIdx.x & 31) == __ffs(same) - 1) bins[digit] += sum;
  __syncwarp();
}

// The largest of the threads' own `key`s such that the weights of those of at least that key reach
// `target`, or 0: as no thread's logits weigh less than its largest does, a bound of what `cut` finds.
__device__ __forceinline__ u32 bound_by_largest(u32 key, u64 weight, u64 target, u64 *scratch) {
  u32 *const keys = (u32 *)(scratch + THREADS), *const found = keys + THREADS;
  __syncthreads();
  scratch[threadIdx.x] = weight, keys[threadIdx.x] = key;
  if (threadIdx.x == 0) *found = 0;
  __syncthreads();
  u64 sum = 0;
#pragma unroll 4
  for (int i = 0; i < THREADS; i += 2) {
    const uint2 other = *(const uint2 *)(keys + i);
    const ulonglong2 weights = *(const ulonglong2 *)(scratch + i);
    sum += (other.x >= key ? weights.x : 0) + (other.y >= key ? weights.y : 0);
  }
  if (sum >= target) atomicMax(found, key);
  __syncthreads();
  return *found;
}

// The largest key such that the weights of all logits of at least that key reach `target`: weights
// are 1, or masses; `own` is the largest key of this thread's. Eight bits at a time, from the top; each
// warp has bins of its own. Nothing below a bound that is found first goes into bins, which leaves
// little unless what is kept is much.
__device__ __forceinline__ u32 cut(
    const float *logits, int count, bool byMass, u64 target, u32 floor, u32 own, float largest,
    float temperature, u64 (*bins)[256]) {
  __shared__ u32 prefix;
  __shared__ u64 above;
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  const u64 weight = own < floor ? 0 : byMass ? mass(logit_of(own), largest, temperature) : 1;
  floor = max(floor, bound_by_largest(own, weight, target, bins[0]));
  __syncthreads();  // whoever read what lies in the bins has done so
  if (threadIdx.x == 0) prefix = 0, above = 0;
  for (int shift = 24; shift >= 0; shift -= 8) {
    for (int bin = lane; bin < 256; bin += 32) bins[warp][bin] = 0;
    __syncthreads();
    const u32 high = prefix;
    read<2>(logits, 0, count, threadIdx.x, THREADS, [&](int, float logit, bool is) {
      const u32 key = order(logit);
      is = is && key >= floor && (shift == 24 || key >> (shift + 8) == high >> (shift + 8));
      if (!__any_sync(~0u, is)) return;
      const u64 weight = !is ? 0 : byMass ? mass(logit, largest, temperature) : 1;
      if (shift == 24) add_to_bins(bins[warp], key >> shift & 255, weight, is);
      // Below sign and exponent, digits are as many as lanes.
      else if (is) atomicAdd(&bins[warp][key >> shift & 255], weight);
    });
    __syncthreads();
    if (threadIdx.x < 256)
      for (int other = 1; other < WARPS; other++) bins[0][threadIdx.x] += bins[other][threadIdx.x];
    __syncthreads();
    // Lane 0 has the uppermost eight bins: the one is found whose bins reach the target, or the last.
    if (warp == 0) {
      const u64 *eight = bins[0] + 248 - 8 * lane;
      u64 sum = 0;
      for (int i = 0; i < 8; i++) sum += eight[i];
      u64 upTo = sum;
      for (int offset = 1; offset < 32; offset <<= 1) {
        const u64 other = __shfl_up_sync(~0u, upTo, offset);
        if (lane >= offset) upTo += other;
      }
      const u64 start = above;
      const u32 reach = __ballot_sync(~0u, start + upTo >= target) | 1u << 31;
      if (lane == __ffs(reach) - 1) {
        u64 before = start + upTo - sum;
        int i = 7;
        for (; i > (lane == 31 ? 0 : -1) && before + eight[i] < target; i--) before += eight[i];
        above = before;
        prefix = high | (u32)(248 - 8 * lane + i) << shift;
      }
    }
    __syncthreads();
  }
  return prefix;
}

extern "C" __global__ void __launch_bounds__(THREADS, 2)
sample(
    const float *logits, const float *parameters, int *tokens, int count, int stride,
    const int *positions, int *nextTokens, int *nextPositions) {
  __shared__ __align__(16) u64 bins[WARPS][256];  // read two at a time
  u64 *const scratch = bins[0];
  __shared__ float settings[5];
  // Each is asked of the host's memory once; the host wrote them before the launch.
  float setting = 0.f;
  const int row = blockIdx.x;
  if (threadIdx.x < 5) setting = parameters[row * 5 + threadIdx.x];
  logits += (long long)row * stride;
  wait_for_input();
  if (threadIdx.x == 5 && nextPositions) nextPositions[row] = positions[row] + 1;
  const auto leave = [&](int token) {
    tokens[row] = token;
    if (nextTokens) nextTokens[row] = token;
  };

  u64 best = 0;
  read<8>(logits, 0, count, threadIdx.x, THREADS, [&](int i, float logit, bool is) {
    const u64 candidate = (u64)order(logit) << 32 | (u32)(count - 1 - i);
    if (is && candidate > best) best = candidate;
  });
  const u32 ownKey = (u32)(best >> 32);
#pragma unroll
  for (int offset = 16; offset; offset >>= 1) {
    const u64 other = __shfl_xor_sync(~0u, best, offset);
    if (other > best) best = other;
  }
  if ((threadIdx.x & 31) == 0) scratch[threadIdx.x >> 5] = best;
  if (threadIdx.x < 5) settings[threadIdx.x] = setting;
  __syncthreads();
  for (int i = 0; i < WARPS; i++) best = scratch[i] > best ? scratch[i] : best;
  if (best >> 32 == 0) {  // no number at all
    if (threadIdx.x == 0) leave(-1);
    return;
  }
  const int greedy = count - 1 - (int)(u32)best;
  const float temperature = settings[0];
  if (temperature == 0.f) {
    if (threadIdx.x == 0) leave(greedy);
    return;
  }
  const float largest = logits[greedy];
  const float topP = settings[2];
  const u64 least = (u64)(settings[3] * MASS);
  u32 floor = 0;
  if (settings[1] > 0.f && settings[1] < count)
    floor = cut(logits, count, false, (u64)settings[1], 0, ownKey, largest, temperature, bins);
  if (topP < 1.f) {
    u64 own = 0;
    read<4>(logits, 0, count, threadIdx.x, THREADS, [&](int, float logit, bool is) {
      if (is && order(logit) >= floor) own += mass(logit, largest, temperature);
    });
    const u64 target = (u64)((double)topP * (double)block_sum(own, scratch));
    floor = cut(logits, count, true, target, floor, ownKey, largest, temperature, bins);
  }

  // The draw, among what is kept, in the order of the tokens: which warp's share of them it falls
  // into, then which of the shares of that, down to a share of a token for each lane.
  const int lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  auto kept = [&](float logit) -> u64 {
    if (order(logit) < floor) return 0;
    const u64 m = mass(logit, largest, temperature);
    return m >= least ? m : 0;
  };
  int from = 0, to = count;
  u64 drawn = 0;
  for (bool isFirst = true;; isFirst = false) {
    const int share = (to - from + THREADS - 1) / THREADS * 32;
    const int first = min(from + warp * share, to), last = min(first + share, to);
    u64 own = 0;
    read<4>(logits, first, last, lane, 32, [&](int, float logit, bool is) { own += is ? kept(logit) : 0; });
#pragma unroll
    for (int offset = 16; offset; offset >>= 1) own += __shfl_xor_sync(~0u, own, offset);
    __syncthreads();
    if (lane == 0) scratch[warp] = own;
    __syncthreads();
    if (isFirst) {
      u64 total = 0;
      for (int i = 0; i < WARPS; i++) total += scratch[i];
      if (total == 0) break;
      drawn = min((u64)((double)settings[4] * (double)total), total - 1);
    }
    int at = 0;
    for (; drawn >= scratch[at]; at++) drawn -= scratch[at];
    from = min(from + at * share, to), to = min(from + share, to);
    if (share > 32) continue;
    const u64 m = from + lane < to ? kept(logits[from + lane]) : 0;
    u64 upTo = m;
#pragma unroll
    for (int offset = 1; offset < 32; offset <<= 1) {
      const u64 other = __shfl_up_sync(~0u, upTo, offset);
      if (lane >= offset) upTo += other;
    }
    if (warp == 0 && drawn >= upTo - m && drawn < upTo) leave(from + lane);
    return;
  }
  if (threadIdx.x == 0) leave(greedy);
}
