// read: how fast this device reads memory, the bound of every kernel that reads weights once.
//
// Problem   sum += the 32-bit words of data[count] modulo 2^32, so that the result can be checked
//           and no load can be left out.
// Layout    data: `count` groups of 16 bytes, aligned to 16. sum: one word, zeroed by the caller.
// Launch    any grid of blocks of a multiple of 32 threads; a few blocks per multiprocessor.
//           Threads walk the data with the grid's stride, UNROLL loads of 16 bytes in flight each,
//           which pass by L1: nothing is read twice.
//
// What is measured with it is `mglu devices --measure`'s figure and the 100 % of the benchmarks.

typedef unsigned int u32;
typedef unsigned long long u64;

#ifndef UNROLL
#define UNROLL 8
#endif

struct group {
  u32 x, y, z, w;
};

__device__ __forceinline__ group load(const group *address) {
  group g;
  asm volatile("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
               : "=r"(g.x), "=r"(g.y), "=r"(g.z), "=r"(g.w)
               : "l"(address));
  return g;
}

extern "C" __global__ void __launch_bounds__(512) read(const group *data, u64 count, u32 *sum) {
  const u64 stride = (u64)gridDim.x * blockDim.x;
  u64 index = (u64)blockIdx.x * blockDim.x + threadIdx.x;
  u32 total = 0;
  for (; index + (UNROLL - 1) * stride < count; index += UNROLL * stride) {
    group g[UNROLL];
#pragma unroll
    for (int i = 0; i < UNROLL; i++) g[i] = load(data + index + i * stride);
#pragma unroll
    for (int i = 0; i < UNROLL; i++) total += g[i].x + g[i].y + g[i].z + g[i].w;
  }
  for (; index < count; index += stride) {
    const group g = load(data + index);
    total += g.x + g.y + g.z + g.w;
  }
#pragma unroll
  for (int lane = 16; lane > 0; lane /= 2) total += __shfl_down_sync(0xffffffffu, total, lane);
  if (threadIdx.x % 32 == 0) atomicAdd(sum, total);
}
