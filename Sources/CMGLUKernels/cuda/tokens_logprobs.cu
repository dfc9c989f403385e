// tokens_logprobs: the log-probabilities of a token of each row of logits, and of the row's most probable
// ones. A part of tokens.cu, which includes it after tokens_sample.cu: it takes order, read and the
// numbers of threads from there.
//
// logprobs(logits, targets, logprobs, largest, count, stride, top): a block of 512 threads takes one row of
// `count` logits; rows begin `stride` elements apart, each at a multiple of 16 bytes.
// logprobs[row][0] = logits[row][targets[row]] - log(sum(exp(logits[row]))); logprobs[row][1 + k] is the
// same of the token largest[row][k], the one of the k-th largest logit: of equal ones the lower is first,
// and -1, without a number, stands where no more logits are numbers. What is no number counts for nothing
// in the sum, which is of doubles, because those of 128,256 floats would lose bits.
//
// The bytes bound it: (2 + top) passes over a row, of which those after the first find it in the L2 cache: a
// row of 50,257 logits is 0.2 MB, some 2 us of one multiprocessor. Not measured yet.

extern "C" __global__ void __launch_bounds__(THREADS, 2)
logprobs(
    const float *logits, const int *targets, float *logprobs, int *largest, int count, int stride,
    int top) {
  __shared__ u64 bests[WARPS];
  __shared__ double sums[WARPS];
  const int row = blockIdx.x, lane = threadIdx.x & 31, warp = threadIdx.x >> 5;
  logits += (long long)row * stride;
  logprobs += row * (1ll + top);
  largest += (long long)row * top;
  wait_for_input();

  // Larger for larger logits and lower tokens: the largest of those below `limit`, or 0.
  const auto next = [&](u64 limit) {
    u64 best = 0;
    read<8>(logits, 0, count, threadIdx.x, THREADS, [&](int i, float logit, bool is) {
      const u32 key = order(logit);
      const u64 candidate = (u64)key << 32 | (u32)(count - 1 - i);
      if (is && key && candidate < limit && candidate > best) best = candidate;
    });
#pragma unroll
    for (int offset = 16; offset; offset >>= 1) {
      const u64 other = __shfl_xor_sync(~0u, best, offset);
      if (other > best) best = other;
    }
    __syncthreads();
    if (lane == 0) bests[warp] = best;
    __syncthreads();
    for (int i = 0; i < WARPS; i++) best = bests[i] > best ? bests[i] : best;
    return best;
  };
  const auto token = [&](u64 candidate) { return count - 1 - (int)(u32)candidate; };

  u64 best = next(~0ull);
  float normalizer = best ? logits[token(best)] : -__int_as_float(0x7f800000);
  if (isfinite(normalizer)) {
    double own = 0;
    read<8>(logits, 0, count, threadIdx.x, THREADS, [&](int, float logit, bool is) {
      const float e = expf(logit - normalizer);
      if (is && e == e) own += e;
    });
#pragma unroll
    for (int offset = 16; offset; offset >>= 1) own += __shfl_xor_sync(~0u, own, offset);
    if (lane == 0) sums[warp] = own;
    __syncthreads();
    double sum = 0;
    for (int i = 0; i < WARPS; i++) sum += sums[i];
    normalizer += (float)log(sum);
  }
  const auto logprob = [&](int token) {
    return (unsigned)token < (unsigned)count ? logits[token] - normalizer : __int_as_float(0x7fc00000);
  };
  if (threadIdx.x == 0) logprobs[0] = logprob(targets[row]);
  for (int k = 0; k < top; k++) {
    if (threadIdx.x == 0) {
      largest[k] = best ? token(best) : -1;
      logprobs[1 + k] = logprob(largest[k]);
    }
    if (best && k + 1 < top) best = next(best);
  }
}
