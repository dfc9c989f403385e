// attention_merge: what blocks of one row's splits found, merged in their order. A part of attention.cu
// and attention_decode.cu, which include it: it takes their HEAD and QUERIES. From Hopper on the blocks are
// a cluster and read each other's shared memory; before, the last block to finish reads what the others
// left in `partial`.

__device__ __forceinline__ float remote(const float *address, u32 rank) {
  float value;
  u32 at = (u32)__cvta_generic_to_shared(address);
  asm("mapa.shared::cluster.u32 %0, %1, %2;" : "=r"(at) : "r"(at), "r"(rank));
  asm volatile("ld.shared::cluster.f32 %0, [%1];" : "=f"(value) : "r"(at));
  return value;
}

__device__ __forceinline__ void cluster_barrier() {
  asm volatile("barrier.cluster.arrive.aligned;\n\tbarrier.cluster.wait.aligned;" ::: "memory");
}

// Writes the rows' queries from `first` on, of the split `blockIdx.y` of gridDim.y. `found` is shared memory
// that all threads have written; row is that of the launch.
__device__ __forceinline__ void merge_splits(
    const Attention &a, float (*found)[HEAD + 2], int row, int first, float factor, int threads) {
  const int split = blockIdx.y, splits = gridDim.y;
  Element *output = a.output + ((long long)(a.firstRow + row) * a.heads + first) * HEAD;
#if __CUDA_ARCH__ >= 900
  cluster_barrier();
  for (int item = threadIdx.x * splits + split; item < QUERIES * HEAD; item += threads * splits) {
    const int q = item / HEAD;
    output[place_of(item)] = to_element(merged_value<8>(splits, item % HEAD, factor, [&](int s, int which) {
      return remote(&found[q][which], s);
    }));
  }
  // Shared memory stays until everyone has read it.
  cluster_barrier();
#else
  __shared__ bool is_last;
  float *partial = a.partial + ((long long)row * a.heads + first) * splits * (HEAD + 2);
  __syncthreads();
  for (int item = threadIdx.x; item < QUERIES * (HEAD + 2); item += threads)
    __stcg(partial + (item / (HEAD + 2) * splits + split) * (HEAD + 2) + item % (HEAD + 2),
           found[item / (HEAD + 2)][item % (HEAD + 2)]);
  __threadfence();
  __syncthreads();
  if (threadIdx.x == 0)
    is_last = atomicInc(a.counters + (long long)row * gridDim.x + blockIdx.x, splits - 1) == splits - 1;
  __syncthreads();
  if (!is_last) return;
  __threadfence();
  for (int item = threadIdx.x; item < QUERIES * HEAD; item += threads) {
    const float *all = partial + item / HEAD * splits * (HEAD + 2);
    output[place_of(item)] = to_element(merged_value<8>(splits, item % HEAD, factor, [&](int s, int which) {
      return __ldcg(all + s * (HEAD + 2) + which);
    }));
  }
#endif
}
