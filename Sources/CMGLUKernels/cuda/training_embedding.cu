// training_embedding: rows of the table, and the gradient of the table. A part of training.cu,
// which includes it and says what they compute.

// A warp per row, 8 to a block.
extern "C" __global__ void __launch_bounds__(256) embed(
    const int *__restrict__ tokens, const u16 *__restrict__ table, u16 *__restrict__ x, i64 rows,
    int width) {
  using namespace training;
  const i64 row = blockIdx.x * 8ll + threadIdx.x / 32;
  if (row >= rows) return;
  const u16 *from = table + tokens[row] * (i64)width;
#pragma unroll 4
  for (int j = threadIdx.x % 32 * 8; j < width; j += 256)
    store(x + row * width + j, load(from + j, width - j), width - j);
}

// OWNERS blocks of 384 threads; tokens in the GPU's memory, for each block reads all of them.
//
// A block owns the tokens that leave its index modulo OWNERS. Of SEGMENT tokens at a time it
// collects its own, in any order, ranks them by token and then position, and walks them token by
// token with two columns to a thread: rows are added in their order, with AHEAD on their way.
namespace training {
constexpr int OWNERS = 1024;
constexpr int SEGMENT = 4096;
constexpr int AHEAD = 32;

__device__ __forceinline__ u32 load_pair(const u16 *from, bool both) {
#if WIDE
  return *(const u32 *)from;
#else
  return from[0] | (both ? (u32)from[1] << 16 : 0);
#endif
}
}  // namespace training

extern "C" __global__ void __launch_bounds__(384) embed_backward(
    const u16 *__restrict__ gradient, const int *__restrict__ tokens,
    float *__restrict__ table_gradient, i64 count, int width) {
  using namespace training;
  // What is found is a token's number among the block's, then the position in the segment.
  __shared__ u32 found[SEGMENT], ranked[SEGMENT];
  __shared__ u32 matches;
  for (i64 first = 0; first < count; first += SEGMENT) {
    if (threadIdx.x == 0) matches = 0;
    __syncthreads();
    const int length = min((i64)SEGMENT, count - first);
#pragma unroll 6
    for (int i = threadIdx.x; i < length; i += blockDim.x) {
      const u32 token = tokens[first + i];
      if (token % OWNERS == blockIdx.x)
        found[atomicAdd(&matches, 1)] = token / OWNERS * SEGMENT + i;
    }
    __syncthreads();
    const int n = matches;
    for (int i = threadIdx.x; i < n; i += blockDim.x) {
      const u32 own = found[i];
      int rank = 0;
      for (int other = 0; other < n; other++) rank += found[other] < own;
      ranked[rank] = own;
    }
    __syncthreads();
    for (int j = threadIdx.x * 2; j < width; j += blockDim.x * 2) {
      const bool both = j + 1 < width;
      for (int k = 0; k < n;) {
        const u32 token = ranked[k] / SEGMENT;
        float *to = table_gradient + (token * (i64)OWNERS + blockIdx.x) * width + j;
        float low = to[0], high = both ? to[1] : 0.f;
        for (bool goes_on = true; goes_on;) {
          u32 pair[AHEAD];
          int rows = 0;  // of this token, of the next AHEAD
#pragma unroll
          for (int i = 0; i < AHEAD; i++) {
            pair[i] = 0;
            if (k + i >= n || ranked[k + i] / SEGMENT != token) continue;
            pair[i] = load_pair(gradient + (first + ranked[k + i] % SEGMENT) * width + j, both);
            rows = i + 1;
          }
#pragma unroll
          for (int i = 0; i < AHEAD; i++) {
            low += __uint_as_float(pair[i] << 16);
            high += __uint_as_float(pair[i] & 0xffff0000u);
          }
          k += rows;
          goes_on = rows == AHEAD && k < n && ranked[k] / SEGMENT == token;
        }
        to[0] = low;
        if (both) to[1] = high;
      }
    }
  }
}
