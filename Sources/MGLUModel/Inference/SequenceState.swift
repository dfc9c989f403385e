/// A sequence on its way through a session.
final class SequenceState {
  let id: SequenceID
  let request: GenerationRequest
  /// Its line of the block tables.
  let slot: Int
  /// Most tokens to generate: as the request has it, within the context.
  let limit: Int
  var sampler: Sampler
  /// The blocks that hold its keys and values, in the order of positions.
  var blocks: [Int32]
  /// Of the prompt: blocks that are known to hold it, and what the last of them stands for.
  var (knownBlocks, prefix): (Int, BlockPool.Prefix) = (0, .none)
  /// Tokens in the cache, once all that is enqueued is computed.
  var position = 0
  /// Tokens whose sampling is enqueued.
  var sampled = 0
  /// Where the last of them is among those of its step.
  var place = 0
  /// Tokens generated, as far as the host knows, and the last of them.
  var (generated, lastToken): (Int, Int32) = (0, 0)
  /// Of the prompt's tokens scored so far, where they are wanted; the first follows no token.
  var promptLogprobs: [TokenLogprob]
  /// Sequences of the same prompt that wait for this one's prefill.
  var followers: [SequenceState] = []
  /// Whether this sequence waits for another's prefill.
  var isFollowing = false
  /// Whether rows of it were enqueued, and the device has its line of the block tables.
  var isStarted = false
  /// Tokens of the prompt that another sequence's prefill has read.
  var sharedPromptTokens = 0
  /// Whether the session holds it no more: what a step under way computes for it is dropped.
  var isRemoved = false

  init(
    _ id: SequenceID, _ request: GenerationRequest, _ sampler: Sampler, slot: Int, limit: Int,
    blocks: [Int32]
  ) {
    (self.id, self.request, self.sampler) = (id, request, sampler)
    (self.slot, self.limit, self.blocks) = (slot, limit, blocks)
    promptLogprobs = request.promptLogprobs ? request.prompt.prefix(1).map(TokenLogprob.init) : []
  }

  /// Whether the prompt is read, once all that is enqueued is computed.
  var hasReadPrompt: Bool { position >= request.prompt.count }
  /// Whether a step reads the prompt on.
  var isPrefilling: Bool { !isFollowing && !hasReadPrompt }
  /// Whether a step reads the token sampled last.
  var isDecoding: Bool { sampled > 0 && sampled < limit }
  /// Whether the host reads log-probabilities for this sequence: the prompt's with its first token.
  var readsLogprobs: Bool {
    request.topLogprobs != nil || request.promptLogprobs && generated == 0
  }

  /// Whether a step that samples for this sequence has to wait until the host has read the one before.
  var needsHost: Bool { readsLogprobs || sampler.processor != nil }

  /// Whether another sequence can wait for this one's prefill in place of reading the same.
  func canLead(_ request: GenerationRequest) -> Bool {
    !isStarted && !isFollowing && self.request.sharesPrefill(with: request)
  }

  /// Lets the first follower read the prompt in this sequence's place, with the others behind it.
  func handOverPrefill() {
    guard let first = followers.first else { return }
    first.isFollowing = false
    first.followers = Array(followers.dropFirst())
    followers = []
  }
}
