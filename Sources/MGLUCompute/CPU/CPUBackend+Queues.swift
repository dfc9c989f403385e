// What is asked for aside is done at once; or, so that tests see what is not waited for, as late as it may be.

/// Work that a backend has put off.
final class LateWork: @unchecked Sendable {
  let body: () -> Void

  init(_ body: @escaping () -> Void) { self.body = body }
}

extension CPUBackend {
  public func aside(_ body: @escaping () -> Void) -> Milestone {
    guard isLate else {
      body()
      return .reached
    }
    let work = LateWork(body)
    lateWork.append(work)
    return Milestone(event: work)
  }

  public func wait(for milestone: Milestone) {
    guard let work = milestone.event as? LateWork,
      let index = lateWork.firstIndex(where: { $0 === work })
    else { return }
    let due = lateWork[...index]
    lateWork.removeFirst(index + 1)
    for work in due { work.body() }
  }
}
