// fused_linear_wgmma: the products of a warpgroup on Hopper (sm_90a). A part of fused_linear_prompt.cu and
// fused_linear_batch_wide.cu, which include it after fused_linear_unit.cu: it takes COLUMNS.
//
// wgmma.m64nNk16 multiplies 64 rows of A, of which each warp has 16 in registers in the order of
// mma.m16n8k16, by N = COLUMNS columns of B in shared memory, while the threads go on. Its sums have the
// bits of mma.m16n8k16 (measured over a million chains).

// A lane's words of W for 32 columns: a cell's are its fragments of A.
struct Weights {
  u32 of[PLANES][2][4];  // [plane][step of 16 columns][register of A]
};

#if INT8
// Two integers of `bytes` times the low (HALF 0) or high one of two scales, rounded to FP16: products of
// groups have no sums of their own here.
template <int HALF> __device__ __forceinline__ u32 scaled(u32 bytes, u32 selector, u32 scales) {
  u32 pair = halves(bytes, selector), scale;
  asm("prmt.b32 %0, %1, %1, %2;" : "=r"(scale) : "r"(scales), "n"(HALF ? 0x3232 : 0x1010));
  asm("mul.rn.f16x2 %0, %0, %1;" : "+r"(pair) : "r"(scale));
  return pair;
}
#endif

__device__ __forceinline__ void load_weights(
    Weights &w, const unsigned char *cell, int block, int lane) {
#pragma unroll
  for (int plane = 0; plane < PLANES; plane++) {
#if INT8
    const unsigned char *integers = cell + plane * PLANE_BYTES;
    const uint4 v = ((const uint4 *)integers)[block * 32 + lane];
    const u32 scales = *(const u32 *)(integers + INTEGER_BYTES + (lane >> 2) * 8 + block * 4);
#pragma unroll
    for (int step = 0; step < 2; step++) {
      const u32 top = component(v, step), bottom = component(v, step + 2);
      w.of[plane][step][0] = scaled<0>(top, 0x4140u, scales);
      w.of[plane][step][1] = scaled<1>(bottom, 0x4140u, scales);
      w.of[plane][step][2] = scaled<0>(top, 0x4342u, scales);
      w.of[plane][step][3] = scaled<1>(bottom, 0x4342u, scales);
    }
#else
    const uint4 *from = (const uint4 *)(cell + plane * PLANE_BYTES) + block * 64 + lane;
    const uint4 top = from[0], bottom = from[32];
#pragma unroll
    for (int step = 0; step < 2; step++) {
      w.of[plane][step][0] = component(top, 2 * step);
      w.of[plane][step][1] = component(bottom, 2 * step);
      w.of[plane][step][2] = component(top, 2 * step + 1);
      w.of[plane][step][3] = component(bottom, 2 * step + 1);
    }
#endif
  }
}

__device__ __forceinline__ void group_barrier(int group) {
  asm volatile("bar.sync %0, 128;" ::"r"(1 + group) : "memory");
}

#define D(i)                                                                                       \
  "+f"(d[i]), "+f"(d[i + 1]), "+f"(d[i + 2]), "+f"(d[i + 3]), "+f"(d[i + 4]), "+f"(d[i + 5]),      \
      "+f"(d[i + 6]), "+f"(d[i + 7])
#define R0 "%0, %1, %2, %3, %4, %5, %6, %7"
#define R1 R0 ", %8, %9, %10, %11, %12, %13, %14, %15"
#define R2 R1 ", %16, %17, %18, %19, %20, %21, %22, %23"
#define R3 R2 ", %24, %25, %26, %27, %28, %29, %30, %31"
#define R4 R3 ", %32, %33, %34, %35, %36, %37, %38, %39"
#define R5 R4 ", %40, %41, %42, %43, %44, %45, %46, %47"
#define R6 R5 ", %48, %49, %50, %51, %52, %53, %54, %55"
#define R7 R6 ", %56, %57, %58, %59, %60, %61, %62, %63"
#define R8 R7 ", %64, %65, %66, %67, %68, %69, %70, %71"
#define R9 R8 ", %72, %73, %74, %75, %76, %77, %78, %79"
#define R10 R9 ", %80, %81, %82, %83, %84, %85, %86, %87"
#define R11 R10 ", %88, %89, %90, %91, %92, %93, %94, %95"
#define R12 R11 ", %96, %97, %98, %99, %100, %101, %102, %103"
#define R13 R12 ", %104, %105, %106, %107, %108, %109, %110, %111"
#define R14 R13 ", %112, %113, %114, %115, %116, %117, %118, %119"
#define R15 R14 ", %120, %121, %122, %123, %124, %125, %126, %127"

// The sums of a thread, as operands and by their names, and the names of A and B behind them, and of whether to add.
#if COLUMNS == 16
#define WGMMA_N "16"
#define OPERANDS D(0)
#define NAMES "{" R0 "}, {%8, %9, %10, %11}, %12"
#define ADD "%13"
#elif COLUMNS == 32
#define WGMMA_N "32"
#define OPERANDS D(0), D(8)
#define NAMES "{" R1 "}, {%16, %17, %18, %19}, %20"
#define ADD "%21"
#elif COLUMNS == 48
#define WGMMA_N "48"
#define OPERANDS D(0), D(8), D(16)
#define NAMES "{" R2 "}, {%24, %25, %26, %27}, %28"
#define ADD "%29"
#elif COLUMNS == 64
#define WGMMA_N "64"
#define OPERANDS D(0), D(8), D(16), D(24)
#define NAMES "{" R3 "}, {%32, %33, %34, %35}, %36"
#define ADD "%37"
#elif COLUMNS == 80
#define WGMMA_N "80"
#define OPERANDS D(0), D(8), D(16), D(24), D(32)
#define NAMES "{" R4 "}, {%40, %41, %42, %43}, %44"
#define ADD "%45"
#elif COLUMNS == 96
#define WGMMA_N "96"
#define OPERANDS D(0), D(8), D(16), D(24), D(32), D(40)
#define NAMES "{" R5 "}, {%48, %49, %50, %51}, %52"
#define ADD "%53"
#elif COLUMNS == 128
#define WGMMA_N "128"
#define OPERANDS D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56)
#define NAMES "{" R7 "}, {%64, %65, %66, %67}, %68"
#define ADD "%69"
#elif COLUMNS == 192
#define WGMMA_N "192"
#define OPERANDS                                                                                       \
  D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56), D(64), D(72), D(80), D(88)
#define NAMES "{" R11 "}, {%96, %97, %98, %99}, %100"
#define ADD "%101"
#elif COLUMNS == 256
#define WGMMA_N "256"
#define OPERANDS                                                                                       \
  D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56), D(64), D(72), D(80), D(88), D(96), D(104), \
      D(112), D(120)
#define NAMES "{" R15 "}, {%128, %129, %130, %131}, %132"
#define ADD "%133"
#endif

#if BF16
#define WGMMA_TYPES "f32.bf16.bf16"
#else
#define WGMMA_TYPES "f32.f16.f16"
#endif

// d += A B, in the background: A in registers, which must stay as they are until it is done, B in
// shared memory as `descriptor` says.
__device__ __forceinline__ void multiply_async(
    float (&d)[COLUMNS / 2], u32 a0, u32 a1, u32 a2, u32 a3, u64 descriptor) {
  asm volatile("wgmma.mma_async.sync.aligned.m64n" WGMMA_N "k16." WGMMA_TYPES " " NAMES
               ", 1, 1, 1, 0;"
               : OPERANDS
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(descriptor)
               : "memory");
}

// The same, but d = A B where it does not `add`.
__device__ __forceinline__ void multiply_async(
    float (&d)[COLUMNS / 2], u32 a0, u32 a1, u32 a2, u32 a3, u64 descriptor, int add) {
  asm volatile("{ .reg .pred p; setp.ne.b32 p, " ADD ", 0; wgmma.mma_async.sync.aligned.m64n" WGMMA_N
               "k16." WGMMA_TYPES " " NAMES ", p, 1, 1, 0; }"
               : OPERANDS
               : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "l"(descriptor), "r"(add)
               : "memory");
}

// What threads have written to registers is there for the products that follow.
__device__ __forceinline__ void fence_registers() {
  asm volatile("wgmma.fence.sync.aligned;" ::: "memory");
}

__device__ __forceinline__ void commit_products() {
  asm volatile("wgmma.commit_group.sync.aligned;" ::: "memory");
}

// Waits until all but the last COUNT groups of products are done.
template <int COUNT> __device__ __forceinline__ void wait_for_products() {
  asm volatile("wgmma.wait_group.sync.aligned %0;" ::"n"(COUNT) : "memory");
}

// B: rows of 128 bytes, one for each column, of 8 rows each 1 KiB swizzled by 128 bytes. A further
// step of 16 elements is 32 bytes behind: `descriptor` + 2.
__device__ __forceinline__ u64 describe(u32 address) {
  return (u64)((address & 0x3ffff) >> 4) | (u64)1 << 16 | (u64)64 << 32 | (u64)1 << 62;
}
