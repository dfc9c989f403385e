/// A sequence on its way through a session.
final class SequenceState {
  let id: SequenceID
  let request: GenerationRequest
  let cache: CacheSlot
  var sampler: Sampler
  /// Tokens that the model has not read yet: of the prompt, or the one generated last.
  var unread: ArraySlice<Int32>
  /// Tokens in the cache.
  var position = 0
  /// Tokens generated so far.
  var generated = 0
  /// Of the prompt's tokens scored so far, where they are wanted; the first follows no token.
  var promptLogprobs: [TokenLogprob]
  /// Sequences of the same prompt that wait for this one's prefill.
  var followers: [SequenceState] = []
  /// Whether this sequence waits for another's prefill.
  var isFollowing = false
  /// Tokens of the prompt that another sequence's prefill has read.
  var sharedPromptTokens = 0
  /// Whether the session holds it no more: what a step under way computes for it is dropped.
  var isRemoved = false

  init(_ id: SequenceID, _ request: GenerationRequest, _ sampler: Sampler, in cache: CacheSlot) {
    (self.id, self.request, self.sampler, self.cache) = (id, request, sampler, cache)
    unread = request.prompt[...]
    promptLogprobs = request.promptLogprobs ? request.prompt.prefix(1).map(TokenLogprob.init) : []
  }

  var isDecoding: Bool { generated > 0 }

  /// Lets `other` wait for this sequence's prefill, where both read the same and it has not begun.
  func lead(_ other: SequenceState) -> Bool {
    guard position == 0, !isFollowing, request.sharesPrefill(with: other.request) else {
      return false
    }
    followers.append(other)
    other.isFollowing = true
    return true
  }

  /// Lets the first follower read the prompt in this sequence's place, with the others behind it.
  func handOverPrefill() {
    guard let first = followers.first else { return }
    first.isFollowing = false
    first.followers = Array(followers.dropFirst())
    followers = []
  }
}
