// A queue beside that of the computation, and what connects ranks.

extension CUDABackend {
  public func communicator(
    of group: RankGroup
  ) throws(CommunicationError) -> any Communicator {
    try NCCLCommunicator(group, on: { self.stream })
  }

  public func aside(_ body: @escaping () -> Void) -> Milestone {
    let main = stream
    let event = attempt { () throws(CUDAError) in
      let side =
        if let known = self.side { known } else { try CUDAStream(on: context, isFirst: true) }
      self.side = side
      let start = try CUDAEvent(on: context, isTimed: false)
      try start.record(on: main)
      try side.wait(for: start)
      use(side)
      orderNext()
      defer {
        use(main)
        orderNext()
      }
      body()
      if let failure { throw failure }
      let end = try CUDAEvent(on: context, isTimed: false)
      try end.record(on: side)
      return end
    }
    return Milestone(event: event)
  }

  public func wait(for milestone: Milestone) {
    guard let event = milestone.event as? CUDAEvent else { return }
    attempt { () throws(CUDAError) in try stream.wait(for: event) }
    orderNext()
  }
}
