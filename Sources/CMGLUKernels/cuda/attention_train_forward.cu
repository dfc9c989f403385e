// attention_train_forward: the forward pass of attention in training. A part of
// attention_train.cu, which includes it and says what it computes.

extern "C" __global__ void __launch_bounds__(THREADS, FORWARD_BLOCKS)
attention_train_forward(const __grid_constant__ AttentionTrain a) {
  constexpr int ROWS = 64 * MT, N = CHUNK / 8;
  const Place at(a);
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int first = (gridDim.z - 1 - blockIdx.z) * ROWS, own = first + at.warp * 16 * MT;
  const int tiles = ((min(first + ROWS, at.rows) - 1) / GROUP + TILE) / TILE;
  const int startTile = a.first_tile(first / GROUP);
  {
    const u32 stage = memory + (startTile & 1) * 2 * TILE_BYTES;
    copy_tile<1>(stage, a.qkv + at.keys, at.stride, startTile * TILE, a.length);
    copy_tile<1>(stage + TILE_BYTES, a.qkv + at.values, at.stride, startTile * TILE, a.length);
  }

  u32 query[MT][STEPS][4];
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = own + m * 16 + at.lane / 4, high = low + 8;
    load_rows(query[m], a.qkv + at.query(low), a.qkv + at.query(high), low < at.rows, high < at.rows);
  }
  const int lowest = own / GROUP, highest = own < at.rows ? (own + 16 * MT - 1) / GROUP : -1;
  const float factor = a.scale * LOG2E;

  float sums[MT][2 * STEPS][4] = {}, total[MT][2] = {}, largest[MT][2];
#pragma unroll
  for (int m = 0; m < MT; m++) largest[m][0] = largest[m][1] = -1e30f;

  const auto score = [&](float (&s)[MT][N][4], u32 stage, int key, int chunk, bool masked) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int n = 0; n < N; n++) s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.f;
    multiply_rows(s, query, stage + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
      const auto position = [&](int m, int half) {
        return (first + here.warp * 16 * MT + m * 16 + half * 8 + here.lane / 4) / GROUP;
      };
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int n = 0; n < N; n++)
#pragma unroll
          for (int i = 0; i < 4; i++)
            if (!a.sees(position(m, i / 2), key + chunk + n * 8 + (here.lane & 3) * 2 + i % 2)) s[m][n][i] = MASKED;
    }
  };
  // Adds what `score` found for CHUNK keys.
  const auto add = [&](float (&s)[MT][N][4], u32 stage, int key, int chunk, bool masked) {
    float sum[MT][2];
    u32 p[N / 2][MT][4];
    const auto exponentiate = [&] {
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++)
#pragma unroll
          for (int n = 0; n < N; n++) {
            const float left = power_of_two(s[m][n][2 * half] * factor - largest[m][half]);
            const float right = power_of_two(s[m][n][2 * half + 1] * factor - largest[m][half]);
            sum[m][half] = n == 0 ? left + right : sum[m][half] + (left + right);
            p[n / 2][m][n % 2 * 2 + half] = narrow(left, right);
          }
    };
    exponentiate();
    float check = sum[0][0] + sum[0][1];
#pragma unroll
    for (int m = 1; m < MT; m++) check += sum[m][0] + sum[m][1];
    if (!__all_sync(~0u, check <= LIMIT)) {
      score(s, stage, key, chunk, masked);
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          float value = s[m][0][2 * half];
#pragma unroll
          for (int n = 0; n < N; n++) value = fmaxf(value, fmaxf(s[m][n][2 * half], s[m][n][2 * half + 1]));
          value = fmaxf(value, __shfl_xor_sync(~0u, value, 1));
          value = fmaxf(value, __shfl_xor_sync(~0u, value, 2));
          value = fmaxf(value * factor, largest[m][half]);
          const float old = power_of_two(largest[m][half] - value);
          largest[m][half] = value, total[m][half] *= old;
#pragma unroll
          for (int n = 0; n < 2 * STEPS; n++) sums[m][n][2 * half] *= old, sums[m][n][2 * half + 1] *= old;
        }
      exponentiate();
    }
#pragma unroll
    for (int m = 0; m < MT; m++) total[m][0] += sum[m][0], total[m][1] += sum[m][1];
#pragma unroll
    for (int n = 0; n < N / 2; n++)
      add_product(sums, p[n], stage + TILE_BYTES + (chunk + n * 16) * STRIDE + at.transposed());
  };

  for (int tile = startTile; tile < tiles; tile++) {
    const u32 stage = memory + (tile & 1) * 2 * TILE_BYTES, other = memory + (~tile & 1) * 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < tiles) {
      copy_tile<1>(other, a.qkv + at.keys, at.stride, (tile + 1) * TILE, a.length);
      copy_tile<1>(other + TILE_BYTES, a.qkv + at.values, at.stride, (tile + 1) * TILE, a.length);
    }
    // Full tiles compute the scores of the next keys while they exponentiate those of these.
    if (tile * TILE + TILE - 1 <= lowest && a.windows_begin_before(tile * TILE, highest)) {
      float s[2][MT][N][4];
      score(s[0], stage, tile * TILE, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += CHUNK) {
        if (chunk + CHUNK < TILE) score(s[chunk / CHUNK + 1 & 1], stage, tile * TILE, chunk + CHUNK, false);
        add(s[chunk / CHUNK & 1], stage, tile * TILE, chunk, false);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE && tile * TILE + chunk <= highest; chunk += CHUNK) {
        if (a.windows_begin_after(tile * TILE + chunk + CHUNK - 1, lowest)) continue;
        float s[MT][N][4];
        score(s, stage, tile * TILE, chunk, true);
        add(s, stage, tile * TILE, chunk, true);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = first + end.warp * 16 * MT + m * 16 + end.lane / 4, high = low + 8;
#pragma unroll
    for (int half = 0; half < 2; half++) {
      float &sum = total[m][half];
      sum += __shfl_xor_sync(~0u, sum, 1);
      sum += __shfl_xor_sync(~0u, sum, 2);
      const int row = half ? high : low;
      if (end.lane % 4 == 0 && row < end.rows)
        a.logSumExp[end.row_sum(a, row)] = (largest[m][half] + log2f(sum)) * 0.693147181f;
    }
    store_rows(sums[m], a.output + end.output(low), a.output + end.output(high), low < end.rows, high < end.rows,
               1.f / total[m][0], 1.f / total[m][1]);
  }
}
