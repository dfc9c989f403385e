// fused_linear_batch_output: the output of a thread that has all sums of it. A part of fused_linear_batch.cu and
// fused_linear_batch_wide.cu, which include it: it takes ACTIVATION and GATING.

// Adds products over the masks of an output, as the threads of fused_linear.cu do that have one each.
__device__ __forceinline__ float output_of(const FusedLinear &f, const float (&sums)[STREAMS], int row) {
  FusedLinear known;
  known.activation = ACTIVATION, known.gating = GATING;
  if constexpr (TERMS == 1) {
    float a = combine(sums[0], sums[STREAMS - 1], known);
    if (MASKS > 0 && f.routes) a *= f.routes[row];
    return a;
  } else {
    float a[TERMS] = {};
#pragma unroll
    for (int mask = 0; mask < MASKS; mask++) {
      a[mask] = combine(sums[mask], sums[STREAMS - 1], known);
      if (f.routes) a[mask] = __fmul_rn(a[mask], f.routes[(long long)row * MASKS + mask]);
    }
#pragma unroll
    for (int other = 1; other < TERMS; other *= 2)
#pragma unroll
      for (int mask = 0; mask < TERMS; mask += 2 * other)
        a[mask] = __fadd_rn(a[mask], a[mask + other]);
    return a[0];
  }
}

