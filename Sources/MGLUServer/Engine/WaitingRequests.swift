/// Requests whose texts have not all begun, in the order they came.
///
/// It is asked before every step: what a request costs there does not depend on its texts, of which
/// there may be a thousand.
struct WaitingRequests {
  private struct Waiting {
    let request: ServedRequest
    let texts: [TextJob]
    /// How many of the texts have begun.
    var begun = 0
  }

  private var waiting: [Waiting] = []

  var isEmpty: Bool { waiting.isEmpty }
  /// The number of requests.
  var count: Int { waiting.count }
  /// The number of texts that have not begun.
  var textCount: Int { waiting.reduce(0) { $0 + $1.texts.count - $1.begun } }

  mutating func append(_ request: ServedRequest, _ texts: [TextJob]) {
    waiting.append(Waiting(request: request, texts: texts))
  }

  /// Lets go of requests that are over, and of those whose time is.
  mutating func removeEnded(at now: ContinuousClock.Instant) {
    for item in waiting where item.request.hasExpired(at: now) { item.request.expire() }
    waiting.removeAll(where: \.request.isOver)
  }

  /// The next texts, at most `most`, which are no longer here then.
  mutating func takeTexts(most: Int) -> [TextJob] {
    var taken: [TextJob] = []
    var whole = 0
    for index in waiting.indices where taken.count < most {
      let texts = waiting[index].texts[waiting[index].begun...].prefix(most - taken.count)
      taken += texts
      waiting[index].begun = texts.endIndex
      if texts.endIndex == waiting[index].texts.endIndex { whole += 1 }
    }
    waiting.removeFirst(whole)
    return taken
  }

  /// Takes all requests away.
  mutating func removeAll() -> [ServedRequest] {
    defer { waiting = [] }
    return waiting.map(\.request)
  }
}
