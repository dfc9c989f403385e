// attention_matrices: products of rows in registers with tiles of 16-bit numbers in shared memory, by
// mma.sync. A part of attention_train.cu and attention_prompt.cu, which include it: it takes their BF16,
// STEPS, the steps of a product over a head, STRIDE, the bytes of a tile's row, and u32.

__device__ __forceinline__ void multiply(
    float (&d)[4], const u32 (&a)[4], u32 b0, u32 b1, const float (&c)[4]) {
#if BF16
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32"
#else
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32"
#endif
  asm volatile(MULTIPLY " {%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, "
      "{%10,%11,%12,%13};"
      : "=f"(d[0]), "=f"(d[1]), "=f"(d[2]), "=f"(d[3])
      : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b0), "r"(b1), "f"(c[0]), "f"(c[1]), "f"(c[2]),
        "f"(c[3]));
#undef MULTIPLY
}

__device__ __forceinline__ void load_matrices(u32 (&b)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
               : "r"(address) : "memory");
}

__device__ __forceinline__ void load_transposed(u32 (&b)[4], u32 address) {
  asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
               : "=r"(b[0]), "=r"(b[1]), "=r"(b[2]), "=r"(b[3])
               : "r"(address) : "memory");
}

template <int BYTES> __device__ __forceinline__ void copy(u32 to, const void *from, bool valid) {
  if constexpr (BYTES == 16)
    asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(to), "l"(from), "r"(valid ? 16 : 0)
                 : "memory");
  else
    asm volatile("cp.async.ca.shared.global [%0], [%1], %2, %3;" ::"r"(to), "l"(from), "n"(BYTES),
                 "r"(valid ? BYTES : 0) : "memory");
}

// s[m] = start + a[m] b^T for N groups of 8 rows of b from `address` on: the lane's own, of matrices
// (rows 0-7, columns 0-7), (0-7, 8-15), (8-15, 0-7), (8-15, 8-15).
template <int M, int N>
__device__ __forceinline__ void multiply_rows(
    float (&s)[M][N][4], const u32 (&a)[M][STEPS][4], u32 address) {
#pragma unroll
  for (int n = 0; n < N; n += 2)
#pragma unroll
    for (int k = 0; k < STEPS; k++) {
      u32 b[4];
      load_matrices(b, address + n * 8 * STRIDE + k * 32);
#pragma unroll
      for (int m = 0; m < M; m++) {
        multiply(s[m][n], a[m][k], b[0], b[1], s[m][n]);
        multiply(s[m][n + 1], a[m][k], b[2], b[3], s[m][n + 1]);
      }
    }
}

// sums[m] += p[m] b for 16 rows of b: the lane's own address, of matrices (rows 0-7, columns 0-7),
// (8-15, 0-7), (0-7, 8-15), (8-15, 8-15). (The order of multiply_rows would do, but a pair of registers
// that do not follow one another is moved before each product.)
template <int M>
__device__ __forceinline__ void add_product(
    float (&sums)[M][2 * STEPS][4], const u32 (&p)[M][4], u32 address) {
#pragma unroll
  for (int k = 0; k < STEPS; k++) {
    u32 b[4];
    load_transposed(b, address + k * 32);
#pragma unroll
    for (int m = 0; m < M; m++) {
      multiply(sums[m][2 * k], p[m], b[0], b[1], sums[m][2 * k]);
      multiply(sums[m][2 * k + 1], p[m], b[2], b[3], sums[m][2 * k + 1]);
    }
  }
}
