// fused_linear_prompt_wgmma: the products of a warpgroup on Hopper (sm_90a). A part of
// fused_linear_prompt.cu, which includes it: it takes BF16, COLUMNS and u32, u64.
//
// wgmma.m64nNk16 multiplies 64 rows of A, of which each warp has 16 in registers in the order of
// mma.m16n8k16, by N = COLUMNS columns of B in shared memory, while the threads go on.

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

// The sums of a thread, as operands and by their names, and the names of A and B behind them.
#if COLUMNS == 16
#define WGMMA_N "16"
#define OPERANDS D(0)
#define NAMES "{" R0 "}, {%8, %9, %10, %11}, %12"
#elif COLUMNS == 32
#define WGMMA_N "32"
#define OPERANDS D(0), D(8)
#define NAMES "{" R1 "}, {%16, %17, %18, %19}, %20"
#elif COLUMNS == 48
#define WGMMA_N "48"
#define OPERANDS D(0), D(8), D(16)
#define NAMES "{" R2 "}, {%24, %25, %26, %27}, %28"
#elif COLUMNS == 64
#define WGMMA_N "64"
#define OPERANDS D(0), D(8), D(16), D(24)
#define NAMES "{" R3 "}, {%32, %33, %34, %35}, %36"
#elif COLUMNS == 80
#define WGMMA_N "80"
#define OPERANDS D(0), D(8), D(16), D(24), D(32)
#define NAMES "{" R4 "}, {%40, %41, %42, %43}, %44"
#elif COLUMNS == 96
#define WGMMA_N "96"
#define OPERANDS D(0), D(8), D(16), D(24), D(32), D(40)
#define NAMES "{" R5 "}, {%48, %49, %50, %51}, %52"
#elif COLUMNS == 128
#define WGMMA_N "128"
#define OPERANDS D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56)
#define NAMES "{" R7 "}, {%64, %65, %66, %67}, %68"
#elif COLUMNS == 192
#define WGMMA_N "192"
#define OPERANDS                                                                                       \
  D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56), D(64), D(72), D(80), D(88)
#define NAMES "{" R11 "}, {%96, %97, %98, %99}, %100"
#elif COLUMNS == 256
#define WGMMA_N "256"
#define OPERANDS                                                                                       \
  D(0), D(8), D(16), D(24), D(32), D(40), D(48), D(56), D(64), D(72), D(80), D(88), D(96), D(104), \
      D(112), D(120)
#define NAMES "{" R15 "}, {%128, %129, %130, %131}, %132"
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
