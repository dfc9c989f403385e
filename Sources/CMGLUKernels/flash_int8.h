// 8-bit weights and activations on any processor: integer sums of a group, scaled into float32.
INLINE void int8_row(int count, const row_view *r, vf *out) {
  typedef int32_t wide __attribute__((vector_size(LANES * 4)));
  const float *scales = (const float *)(r->x + scale_offset(r->columns));
  vf sums[MOST_STREAMS] = {};
  for (int64_t g = 0; g < group_count(r->columns); g++) {
    const int64_t left = r->columns - g * CMGLU_GROUP;
    int8_t w[CMGLU_GROUP] = {};
    memcpy(w, r->w + g * CMGLU_GROUP, (size_t)(left < CMGLU_GROUP ? left : CMGLU_GROUP));
    const uint32_t *words = r->words + g * r->masks;
    wide integers[MOST_STREAMS] = {};
    for (int j = 0; j < CMGLU_GROUP; j += LANES) {
      wide p = __builtin_convertvector(*(const vb *)(w + j), wide) *
               __builtin_convertvector(*(const vb *)(r->x + g * CMGLU_GROUP + j), wide);
      integers[count] += p;
      for (int i = 0; i < count; i++) {
        wide lane;
        for (int k = 0; k < LANES; k++) lane[k] = 1u << (k + j);
        integers[i] += p & ((((wide){} + (int32_t)words[i]) & lane) == lane);
      }
    }
    const vf scale = splat(load_half(r->scales, g) * scales[g]);
    for (int i = 0; i <= count; i++) sums[i] += __builtin_convertvector(integers[i], vf) * scale;
  }
  for (int i = 0; i <= count; i++) out[i * LANES] = sums[i];
}
