// decode_attention: a block's part of attention, and the merging of what the splits of a head
// found. A part of decode.cu, which includes it: it takes its Decode and Layer, decode_ring.cu,
// decode_exchange.cu and decode_share.cu.

// What the warps of a block share while they attend.
struct Attending {
  float added[QUERIES + 2][HEAD];  // the new row's queries, key and value, as they are computed
  float found[WARPS][QUERIES][HEAD + 2];
};

__device__ __forceinline__ void attention_of_block(
    const Decode &d, Ring &ring, const Layer &layer, const Exchange &words, const Share &share,
    int position, u32 epoch, int l, const float (&cosine)[attend::PAIRS],
    const float (&sine)[attend::PAIRS], Attending &shared) {
  using attend::HALF, attend::PAIRS, attend::KeyValue, attend::Running, attend::load_pairs;
  const int thread = thread_index();
  const int lane = thread & 31, warp = thread >> 5;
  const int first = share.group * QUERIES;
  if (share.split >= d.splits) return;

  auto load_added = [&](int which, bool isRotated, float (&pairs)[PAIRS][2]) {
    load_pairs(shared.added[which], lane, pairs);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++)
      if (isRotated) attend::rotate(pairs[pair][0], pairs[pair][1], cosine[pair], sine[pair]);
  };
  for (int item = thread; item < (QUERIES + 2) * HEAD; item += THREADS) {
    const int which = item / HEAD - QUERIES;
    const int head = which < 0 ? first + which + QUERIES : d.heads + which * d.kvHeads + share.kv;
    (&shared.added[0][0])[item] = await(words.qkv + place(head * HEAD + item % HEAD), epoch);
  }
  meet();
  STEP_MARK(l, 10);
  float query[QUERIES][PAIRS][2];
#pragma unroll
  for (int q = 0; q < QUERIES; q++) {
    load_added(q, true, query[q]);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      query[q][pair][0] *= d.scale * 1.44269504f;
      query[q][pair][1] *= d.scale * 1.44269504f;
    }
  }
  Running running[QUERIES];
  attend::clear(running);
  for (int from = share.from; from < share.to; from += WARPS * attend::AHEAD) {
    const int j = from + warp * attend::AHEAD;
    const float *keys = (const float *)ring.part(0, PLANE) + warp * attend::AHEAD * HEAD;
    const float *values = keys + VALUES / 4;
    ring.await();
    KeyValue rows[attend::AHEAD] = {};
#pragma unroll
    for (int ahead = 0; ahead < attend::AHEAD; ahead++)
      if (j + ahead == position) {
        load_added(QUERIES, true, rows[ahead].key);
        load_added(QUERIES + 1, false, rows[ahead].value);
      } else if (j + ahead < share.to) {
        load_pairs(keys + ahead * HEAD, lane, rows[ahead].key);
        load_pairs(values + ahead * HEAD, lane, rows[ahead].value);
      }
    ring.release(lane);
    ring.next(PLANE);
    if (j < share.to) attend::add_rows(running, query, rows, share.to - j);
  }
  STEP_MARK(l, 11);
  // The new row goes to the cache.
  if (share.writes && warp == 0) {
    KeyValue added;
    load_added(QUERIES, true, added.key);
    load_added(QUERIES + 1, false, added.value);
#pragma unroll
    for (int pair = 0; pair < PAIRS; pair++) {
      const int i = pair * 32 + lane;
      const long long at = ((long long)share.kv * d.capacity + position) * HEAD + i;
      if (i < HALF) {
        layer.keys[at] = added.key[pair][0], layer.keys[at + HALF] = added.key[pair][1];
        layer.values[at] = added.value[pair][0], layer.values[at + HALF] = added.value[pair][1];
      }
    }
  }

  attend::leave(running, shared.found[warp], lane);
  meet();
  u64 *all = words.found + (long long)share.group * d.splits * QUERIES * (HEAD + 2);
  for (int item = thread; item < QUERIES * HEAD; item += THREADS) {
    const int q = item / HEAD, i = item % HEAD;
    float largest, sum;
    const float value = attend::merge(shared.found, q, i, largest, sum);
    u64 *own = all + (share.split * QUERIES + q) * (HEAD + 2);
    publish(own + i, value, epoch);
    if (i == 0) publish(own + HEAD, largest, epoch), publish(own + HEAD + 1, sum, epoch);
  }
  STEP_MARK(l, 12);
  for (int item = thread * d.splits + share.split; item < QUERIES * HEAD; item += THREADS * d.splits) {
    const int q = item / HEAD, i = item % HEAD;
    u64 word[SPLITS][3];
    const u64 *first_found = all + q * (HEAD + 2);
    bool is_here;
    do {
      is_here = true;
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          if (s < d.splits)
            word[s][which] = look(
                first_found + s * QUERIES * (HEAD + 2) + (which == 2 ? i : HEAD + which));
#pragma unroll
      for (int s = 0; s < SPLITS; s++)
#pragma unroll
        for (int which = 0; which < 3; which++)
          if (s < d.splits) is_here = is_here && is_current(word[s][which], epoch);
    } while (!is_here);
    float largest = -3.0e38f, sum = 0.f, value = 0.f;
    auto number = [&](int s, int which) { return __uint_as_float((u32)word[s][which]); };
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
      if (s < d.splits) largest = fmaxf(largest, number(s, 0));
#pragma unroll
    for (int s = 0; s < SPLITS; s++)
      if (s < d.splits) {
        const float factor = exp2f(number(s, 0) - largest);
        sum += factor * number(s, 1);
        value += factor * number(s, 2);
      }
    publish(words.attended + place(first * HEAD + item), value / sum, epoch);
  }
}
