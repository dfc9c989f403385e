// attention_train_backward: the gradients of queries, and those of keys and values. A part of
// attention_train.cu, which includes it and says what they compute.

extern "C" __global__ void __launch_bounds__(THREADS, QUERIES_BLOCKS)
attention_train_queries(const __grid_constant__ AttentionTrain a) {
  constexpr int ROWS = 64 * MT;
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

  u32 query[MT][STEPS][4], upstream[MT][STEPS][4];
  float shift[MT][2], start[MT][4];  // -logSumExp log2 e; -delta
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = own + m * 16 + at.lane / 4, high = low + 8;
    load_rows(query[m], a.qkv + at.query(low), a.qkv + at.query(high), low < at.rows, high < at.rows);
    load_rows(upstream[m], a.upstream + at.output(low), a.upstream + at.output(high), low < at.rows,
              high < at.rows);
    u32 output[STEPS][4];
    load_rows(output, a.output + at.output(low), a.output + at.output(high), low < at.rows, high < at.rows);
#pragma unroll
    for (int half = 0; half < 2; half++) {
      const int row = half ? high : low;
      float delta = 0.f;
#pragma unroll
      for (int k = 0; k < STEPS; k++)
#pragma unroll
        for (int i = half; i < 4; i += 2) {
          const u32 x = output[k][i], y = upstream[m][k][i];
          delta += __uint_as_float(x << 16) * __uint_as_float(y << 16);
          delta += __uint_as_float(x & 0xffff0000) * __uint_as_float(y & 0xffff0000);
        }
      delta += __shfl_xor_sync(~0u, delta, 1);
      delta += __shfl_xor_sync(~0u, delta, 2);
      shift[m][half] = row < at.rows ? -LOG2E * a.logSumExp[at.row_sum(a, row)] : 0.f;
      start[m][2 * half] = start[m][2 * half + 1] = -delta;
      const int scratchTiles = (at.rows + 63) / 64;
      if (at.lane % 4 == 0 && row < scratchTiles * 64) {
        float *scratch = (float *)(a.scratch + (((long long)at.sequence * a.kvHeads + at.kv) * scratchTiles + row / 64) * SCRATCH_BYTES);
        const int r = row % 64;
        scratch[r / 2 * 4 + r % 2] = scratch[r / 2 * 4 + 2 + r % 2] = -delta;
        scratch[128 + r] = shift[m][half];
      }
    }
  }
  const int lowest = own / GROUP, highest = own < at.rows ? (own + 16 * MT - 1) / GROUP : -1;
  const float factor = a.scale * LOG2E;
  float sums[MT][2 * STEPS][4] = {};

  const auto score = [&](float (&s)[MT][2][4], float (&ds)[MT][2][4], u32 stage, int key, int chunk,
                         bool masked) {
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int i = 0; i < 8; i++) s[m][i / 4][i % 4] = 0.f, ds[m][i / 4][i % 4] = start[m][i % 4];
    multiply_rows(s, query, stage + chunk * STRIDE + at.fragment());
    multiply_rows(ds, upstream, stage + TILE_BYTES + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
      const auto position = [&](int m, int half) {
        return (first + here.warp * 16 * MT + m * 16 + half * 8 + here.lane / 4) / GROUP;
      };
#pragma unroll
      for (int m = 0; m < MT; m++)
#pragma unroll
        for (int i = 0; i < 8; i++)
          if (!a.sees(position(m, i % 4 / 2), key + chunk + i / 4 * 8 + (here.lane & 3) * 2 + i % 2))
            s[m][i / 4][i % 4] = MASKED;
    }
  };
  const auto add = [&](const float (&s)[MT][2][4], const float (&ds)[MT][2][4], u32 stage, int chunk) {
    u32 p[MT][4];
#pragma unroll
    for (int m = 0; m < MT; m++)
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const float *score = &s[m][i / 2][i % 2 * 2], *slope = &ds[m][i / 2][i % 2 * 2];
        p[m][i] = narrow(power_of_two(score[0] * factor + shift[m][i % 2]) * slope[0],
                         power_of_two(score[1] * factor + shift[m][i % 2]) * slope[1]);
      }
    add_product(sums, p, stage + chunk * STRIDE + at.transposed());
  };

  for (int tile = startTile; tile < tiles; tile++) {
    const u32 stage = memory + (tile & 1) * 2 * TILE_BYTES, other = memory + (~tile & 1) * 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < tiles) {
      copy_tile<1>(other, a.qkv + at.keys, at.stride, (tile + 1) * TILE, a.length);
      copy_tile<1>(other + TILE_BYTES, a.qkv + at.values, at.stride, (tile + 1) * TILE, a.length);
    }
    if (QUERIES_AHEAD && tile * TILE + TILE - 1 <= lowest && a.windows_begin_before(tile * TILE, highest)) {
      float s[2][MT][2][4], ds[2][MT][2][4];
      score(s[0], ds[0], stage, tile * TILE, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int now = chunk / 16 & 1, next = chunk / 16 + 1 & 1;
        if (chunk + 16 < TILE) score(s[next], ds[next], stage, tile * TILE, chunk + 16, false);
        add(s[now], ds[now], stage, chunk);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE && tile * TILE + chunk <= highest; chunk += 16) {
        if (a.windows_begin_after(tile * TILE + chunk + 15, lowest)) continue;
        float s[MT][2][4], ds[MT][2][4];
        const bool masked = QUERIES_AHEAD || tile * TILE + chunk + 15 > lowest ||
                            !a.windows_begin_before(tile * TILE + chunk, highest);
        score(s, ds, stage, tile * TILE, chunk, masked);
        add(s, ds, stage, chunk);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < MT; m++) {
    const int low = first + end.warp * 16 * MT + m * 16 + end.lane / 4, high = low + 8;
    store_rows(sums[m], a.gradient + end.query(low), a.gradient + end.query(high), low < end.rows,
               high < end.rows, a.scale, a.scale);
  }
}

extern "C" __global__ void __launch_bounds__(THREADS, KEYS_BLOCKS)
attention_train_keys(const __grid_constant__ AttentionTrain a) {
  constexpr int KEYS = 64 * KEYS_MT, M = KEYS_MT, STAGE = 2 * TILE_BYTES + SCRATCH_BYTES;
  const Place at(a);
  const u32 memory = (u32)__cvta_generic_to_shared(attention_memory);
  const int first = blockIdx.z * KEYS, own = first + at.warp * 16 * M;
  const int tiles = (at.rows + TILE - 1) / TILE, firstTile = first * GROUP / TILE;
  // Behind the last query whose window reaches one of these keys.
  const int endTile = WINDOW ? min(tiles, ((first + KEYS - 1 + a.window) * GROUP - 1) / TILE + 1) : tiles;
  const auto fill = [&](int tile) {
    const u32 to = memory + (tile & 1) * STAGE;
    copy_tile<GROUP>(to, a.qkv + at.queries, at.stride, tile * TILE, at.rows);
    copy_tile<GROUP>(to + TILE_BYTES, a.upstream + at.outputs, at.outputStride, tile * TILE, at.rows);
    if (threadIdx.x < SCRATCH_BYTES / 16)
      copy<16>(to + 2 * TILE_BYTES + threadIdx.x * 16,
               a.scratch + (((long long)at.sequence * a.kvHeads + at.kv) * tiles + tile) * SCRATCH_BYTES + threadIdx.x * 16, true);
  };
  fill(firstTile);

  u32 key[M][STEPS][4], value[M][STEPS][4];
#pragma unroll
  for (int m = 0; m < M; m++) {
    const long long low = own + m * 16 + at.lane / 4, high = low + 8;
    const u16 *lowRow = a.qkv + low * at.stride, *highRow = a.qkv + high * at.stride;
    load_rows(key[m], lowRow + at.keys, highRow + at.keys, low < a.length, high < a.length);
    load_rows(value[m], lowRow + at.values, highRow + at.values, low < a.length, high < a.length);
  }
  const float factor = a.scale * LOG2E;
  float keySums[M][2 * STEPS][4] = {}, valueSums[M][2 * STEPS][4] = {};

  const auto score = [&](float (&s)[M][2][4], float (&ds)[M][2][4], u32 stage, const unsigned char *scratch,
                         int row, int chunk, bool masked) {
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const float4 start = *(const float4 *)(scratch + (chunk + n * 8 + (at.lane & 3) * 2) * 8);
#pragma unroll
      for (int m = 0; m < M; m++) {
        s[m][n][0] = s[m][n][1] = s[m][n][2] = s[m][n][3] = 0.f;
        ds[m][n][0] = start.x, ds[m][n][1] = start.y, ds[m][n][2] = start.z, ds[m][n][3] = start.w;
      }
    }
    multiply_rows(s, key, stage + chunk * STRIDE + at.fragment());
    multiply_rows(ds, value, stage + TILE_BYTES + chunk * STRIDE + at.fragment());
    if (masked) {
      const Place here(a);
#pragma unroll
      for (int i = 0; i < 4; i++) {
        const int position = (row + chunk + i / 2 * 8 + (here.lane & 3) * 2 + i % 2) / GROUP;
#pragma unroll
        for (int m = 0; m < M; m++)
#pragma unroll
          for (int half = 0; half < 2; half++)
            if (!a.sees(position, first + here.warp * 16 * M + m * 16 + half * 8 + here.lane / 4))
              s[m][i / 2][half * 2 + i % 2] = MASKED;
      }
    }
  };
  const auto add = [&](const float (&s)[M][2][4], const float (&ds)[M][2][4], u32 stage,
                       const unsigned char *scratch, int chunk) {
    u32 p[M][4], slope[M][4];
#pragma unroll
    for (int n = 0; n < 2; n++) {
      const float2 shift = *(const float2 *)(scratch + 512 + (chunk + n * 8 + (at.lane & 3) * 2) * 4);
#pragma unroll
      for (int m = 0; m < M; m++)
#pragma unroll
        for (int half = 0; half < 2; half++) {
          const int j = half * 2;
          const float left = power_of_two(s[m][n][j] * factor + shift.x);
          const float right = power_of_two(s[m][n][j + 1] * factor + shift.y);
          p[m][n * 2 + half] = narrow(left, right);
          slope[m][n * 2 + half] = narrow(left * ds[m][n][j], right * ds[m][n][j + 1]);
        }
    }
    add_product(valueSums, p, stage + TILE_BYTES + chunk * STRIDE + at.transposed());
    add_product(keySums, slope, stage + chunk * STRIDE + at.transposed());
  };

  for (int tile = firstTile; tile < endTile; tile++) {
    const u32 stage = memory + (tile & 1) * STAGE;
    const unsigned char *scratch = attention_memory + (tile & 1) * STAGE + 2 * TILE_BYTES;
    copies_done();
    if (tile + 1 < endTile) fill(tile + 1);
    if (own >= a.length) continue;
    if (KEYS_AHEAD && tile * TILE / GROUP >= own + 16 * M - 1 &&
        a.windows_begin_before(own, (tile * TILE + TILE - 1) / GROUP)) {
      float s[2][M][2][4], ds[2][M][2][4];
      score(s[0], ds[0], stage, scratch, 0, 0, false);
#pragma unroll
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int now = chunk / 16 & 1, next = chunk / 16 + 1 & 1;
        if (chunk + 16 < TILE) score(s[next], ds[next], stage, scratch, 0, chunk + 16, false);
        add(s[now], ds[now], stage, scratch, chunk);
      }
    } else {
#pragma unroll 1
      for (int chunk = 0; chunk < TILE; chunk += 16) {
        const int row = tile * TILE + chunk;
        if ((row + 15) / GROUP < own || a.windows_begin_after(own + 16 * M - 1, row / GROUP)) continue;
        float s[M][2][4], ds[M][2][4];
        const bool masked =
            row / GROUP < own + 16 * M - 1 || !a.windows_begin_before(own, (row + 15) / GROUP);
        score(s, ds, stage, scratch, tile * TILE, chunk, masked);
        add(s, ds, stage, scratch, chunk);
      }
    }
  }

  const Place end(a);
#pragma unroll
  for (int m = 0; m < M; m++) {
    const long long low = first + end.warp * 16 * M + m * 16 + end.lane / 4, high = low + 8;
    u16 *lowRow = a.gradient + low * end.stride, *highRow = a.gradient + high * end.stride;
    store_rows(keySums[m], lowRow + end.keys, highRow + end.keys, low < a.length, high < a.length, a.scale, a.scale);
    store_rows(valueSums[m], lowRow + end.values, highRow + end.values, low < a.length, high < a.length, 1.f, 1.f);
  }
}
