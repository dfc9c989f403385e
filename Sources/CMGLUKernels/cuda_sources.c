// The CUDA sources of cuda/ as text, and the header that they share with C. A new file is an #embed and
// a line of the table; a test compares the table with the folder.
#include "cmglu_cuda.h"

static const char numbers_h[] = {
#embed "include/cmglu_numbers.h" suffix(, 0)
};
static const char activations_cu[] = {
#embed "cuda/activations.cu" suffix(, 0)
};
static const char attention_cu[] = {
#embed "cuda/attention.cu" suffix(, 0)
};
static const char attention_chunk_cu[] = {
#embed "cuda/attention_chunk.cu" suffix(, 0)
};
static const char attention_decode_cu[] = {
#embed "cuda/attention_decode.cu" suffix(, 0)
};
static const char attention_decode_hopper_cu[] = {
#embed "cuda/attention_decode_hopper.cu" suffix(, 0)
};
static const char attention_matrices_cu[] = {
#embed "cuda/attention_matrices.cu" suffix(, 0)
};
static const char attention_merge_cu[] = {
#embed "cuda/attention_merge.cu" suffix(, 0)
};
static const char attention_numbers_cu[] = {
#embed "cuda/attention_numbers.cu" suffix(, 0)
};
static const char attention_prompt_cu[] = {
#embed "cuda/attention_prompt.cu" suffix(, 0)
};
static const char attention_prompt_hopper_cu[] = {
#embed "cuda/attention_prompt_hopper.cu" suffix(, 0)
};
static const char attention_rotation_cu[] = {
#embed "cuda/attention_rotation.cu" suffix(, 0)
};
static const char attention_rows_cu[] = {
#embed "cuda/attention_rows.cu" suffix(, 0)
};
static const char attention_softmax_cu[] = {
#embed "cuda/attention_softmax.cu" suffix(, 0)
};
static const char attention_step_cu[] = {
#embed "cuda/attention_step.cu" suffix(, 0)
};
static const char attention_store_cu[] = {
#embed "cuda/attention_store.cu" suffix(, 0)
};
static const char attention_train_cu[] = {
#embed "cuda/attention_train.cu" suffix(, 0)
};
static const char attention_train_backward_cu[] = {
#embed "cuda/attention_train_backward.cu" suffix(, 0)
};
static const char attention_train_forward_cu[] = {
#embed "cuda/attention_train_forward.cu" suffix(, 0)
};
static const char attention_train_tiles_cu[] = {
#embed "cuda/attention_train_tiles.cu" suffix(, 0)
};
static const char decode_cu[] = {
#embed "cuda/decode.cu" suffix(, 0)
};
static const char decode_attention_cu[] = {
#embed "cuda/decode_attention.cu" suffix(, 0)
};
static const char decode_exchange_cu[] = {
#embed "cuda/decode_exchange.cu" suffix(, 0)
};
static const char decode_filling_cu[] = {
#embed "cuda/decode_filling.cu" suffix(, 0)
};
static const char decode_products_cu[] = {
#embed "cuda/decode_products.cu" suffix(, 0)
};
static const char decode_ring_cu[] = {
#embed "cuda/decode_ring.cu" suffix(, 0)
};
static const char decode_share_cu[] = {
#embed "cuda/decode_share.cu" suffix(, 0)
};
static const char fused_linear_cu[] = {
#embed "cuda/fused_linear.cu" suffix(, 0)
};
static const char fused_linear_batch_cu[] = {
#embed "cuda/fused_linear_batch.cu" suffix(, 0)
};
static const char fused_linear_batch_output_cu[] = {
#embed "cuda/fused_linear_batch_output.cu" suffix(, 0)
};
static const char fused_linear_batch_ring_cu[] = {
#embed "cuda/fused_linear_batch_ring.cu" suffix(, 0)
};
static const char fused_linear_batch_wide_cu[] = {
#embed "cuda/fused_linear_batch_wide.cu" suffix(, 0)
};
static const char fused_linear_cell_cu[] = {
#embed "cuda/fused_linear_cell.cu" suffix(, 0)
};
static const char fused_linear_copies_cu[] = {
#embed "cuda/fused_linear_copies.cu" suffix(, 0)
};
static const char fused_linear_input_cu[] = {
#embed "cuda/fused_linear_input.cu" suffix(, 0)
};
static const char fused_linear_numbers_cu[] = {
#embed "cuda/fused_linear_numbers.cu" suffix(, 0)
};
static const char fused_linear_prompt_cu[] = {
#embed "cuda/fused_linear_prompt.cu" suffix(, 0)
};
static const char fused_linear_unit_cu[] = {
#embed "cuda/fused_linear_unit.cu" suffix(, 0)
};
static const char fused_linear_wgmma_cu[] = {
#embed "cuda/fused_linear_wgmma.cu" suffix(, 0)
};
static const char logits_cu[] = {
#embed "cuda/logits.cu" suffix(, 0)
};
static const char pack_cu[] = {
#embed "cuda/pack.cu" suffix(, 0)
};
static const char plain_cu[] = {
#embed "cuda/plain.cu" suffix(, 0)
};
static const char read_cu[] = {
#embed "cuda/read.cu" suffix(, 0)
};
static const char tokens_cu[] = {
#embed "cuda/tokens.cu" suffix(, 0)
};
static const char tokens_logprobs_cu[] = {
#embed "cuda/tokens_logprobs.cu" suffix(, 0)
};
static const char tokens_sample_cu[] = {
#embed "cuda/tokens_sample.cu" suffix(, 0)
};
static const char training_cu[] = {
#embed "cuda/training.cu" suffix(, 0)
};
static const char training_bias_cu[] = {
#embed "cuda/training_bias.cu" suffix(, 0)
};
static const char training_difference_cu[] = {
#embed "cuda/training_difference.cu" suffix(, 0)
};
static const char training_embedding_cu[] = {
#embed "cuda/training_embedding.cu" suffix(, 0)
};
static const char training_loss_cu[] = {
#embed "cuda/training_loss.cu" suffix(, 0)
};
static const char training_norm_cu[] = {
#embed "cuda/training_norm.cu" suffix(, 0)
};
static const char training_optimizer_cu[] = {
#embed "cuda/training_optimizer.cu" suffix(, 0)
};
static const char training_rows_cu[] = {
#embed "cuda/training_rows.cu" suffix(, 0)
};
static const char training_units_cu[] = {
#embed "cuda/training_units.cu" suffix(, 0)
};

#define SOURCE(name) {#name ".cu", name##_cu, sizeof name##_cu - 1}
static const cmglu_cuda_source sources[] = {
    {"cmglu_numbers.h", numbers_h, sizeof numbers_h - 1},
    SOURCE(activations), SOURCE(attention), SOURCE(attention_chunk), SOURCE(attention_decode),
    SOURCE(attention_decode_hopper), SOURCE(attention_matrices), SOURCE(attention_merge), SOURCE(attention_numbers),
    SOURCE(attention_prompt), SOURCE(attention_prompt_hopper), SOURCE(attention_rotation),
    SOURCE(attention_rows), SOURCE(attention_softmax), SOURCE(attention_step),
    SOURCE(attention_store), SOURCE(attention_train),
    SOURCE(attention_train_backward), SOURCE(attention_train_forward),
    SOURCE(attention_train_tiles), SOURCE(decode), SOURCE(decode_attention),
    SOURCE(decode_exchange), SOURCE(decode_filling), SOURCE(decode_products),
    SOURCE(decode_ring), SOURCE(decode_share), SOURCE(fused_linear), SOURCE(fused_linear_batch),
    SOURCE(fused_linear_batch_output), SOURCE(fused_linear_batch_ring), SOURCE(fused_linear_batch_wide),
    SOURCE(fused_linear_cell), SOURCE(fused_linear_copies), SOURCE(fused_linear_input), SOURCE(fused_linear_numbers),
    SOURCE(fused_linear_prompt),
    SOURCE(fused_linear_unit), SOURCE(fused_linear_wgmma), SOURCE(logits), SOURCE(pack), SOURCE(plain),
    SOURCE(read), SOURCE(tokens), SOURCE(tokens_logprobs), SOURCE(tokens_sample), SOURCE(training),
    SOURCE(training_bias), SOURCE(training_difference), SOURCE(training_embedding),
    SOURCE(training_loss), SOURCE(training_norm),
    SOURCE(training_optimizer), SOURCE(training_rows), SOURCE(training_units),
};

const cmglu_cuda_source *cmglu_cuda_source_at(int index) {
  const int count = sizeof sources / sizeof *sources;
  return index >= 0 && index < count ? &sources[index] : NULL;
}
