// logits: changes of logits before a token is sampled from them: penalties of tokens that were there
// before, biases, tokens that must not come.
//
// adjust       adjusted [rows][stride] = logits [rows][stride], but for the tokens that a row names: with
//              y = x + bias they become (y > 0 ? y / penalty : y * penalty) - subtracted. Only the
//              first `count` elements of a row are logits.
//
// A block of 512 threads takes a row: it copies the row four elements at a time (rows begin at multiples
// of 16 bytes) and then changes the tokens of adjustments[starts[row] ... starts[row + 1] - 1], each
// {token, bias, penalty, subtracted} as words. A row names a token once. Both lists lie in memory of
// the host, which wrote them before the launch; each element is asked for once. The numbers are those
// of the host's, bit for bit, so nothing is contracted.
//
// The bytes bound it: a row of 50,257 logits is 0.4 MB, some 4 us of one multiprocessor. Not measured yet.

__device__ __forceinline__ void wait_for_input() {
#if __CUDA_ARCH__ >= 900
  asm volatile("griddepcontrol.launch_dependents;");
  asm volatile("griddepcontrol.wait;" ::: "memory");
#endif
}

extern "C" __global__ void __launch_bounds__(512)
adjust(
    const float *logits, const int *starts, const int4 *adjustments, float *adjusted, int count,
    int stride) {
  const int first = starts[blockIdx.x], last = starts[blockIdx.x + 1];
  logits += (long long)blockIdx.x * stride;
  adjusted += (long long)blockIdx.x * stride;
  wait_for_input();
  for (int i = threadIdx.x; i < count / 4; i += blockDim.x)
    ((float4 *)adjusted)[i] = ((const float4 *)logits)[i];
  for (int i = count / 4 * 4 + threadIdx.x; i < count; i += blockDim.x) adjusted[i] = logits[i];
  __syncthreads();
  for (int i = first + threadIdx.x; i < last; i += blockDim.x) {
    const int4 change = adjustments[i];
    if ((unsigned)change.x >= (unsigned)count) continue;
    const float y = __fadd_rn(logits[change.x], __int_as_float(change.y));
    const float penalty = __int_as_float(change.z);
    const float scaled = y > 0.f ? __fdiv_rn(y, penalty) : __fmul_rn(y, penalty);
    adjusted[change.x] = __fsub_rn(scaled, __int_as_float(change.w));
  }
}
