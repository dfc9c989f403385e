import Synchronization

// Kernels compiled before they are needed, several at a time.

extension CUDABackend {
  public func prepare(
    progress: @escaping @Sendable (_ done: Int, _ total: Int) -> Void,
    isCancelled: @escaping @Sendable () -> Bool, _ body: () -> Void
  ) {
    guard failure == nil else { return }
    isPreparing = true
    body()
    isPreparing = false
    // A module has all kernels of a source under options.
    let missing = Dictionary(
      grouping: prepared.filter { kernels[$0] == nil },
      by: { ModuleKey(source: $0.source, options: $0.options) })
    prepared = []
    let modules = Array(missing.keys)
    let results = Mutex<[(key: ModuleKey, result: Result<CUDAModule, CUDAError>)]>([])
    progress(0, modules.count)
    host.pool.forEach(modules.count) { index, _ in
      if isCancelled() { return }
      let key = modules[index]
      let result = Result { () throws(CUDAError) in
        try context.module(source: key.source, options: key.options)
      }
      let done = results.withLock { results in
        results.append((key, result))
        return results.count
      }
      progress(done, modules.count)
    }
    for (key, result) in results.withLock({ $0 }) {
      attempt { () throws(CUDAError) in
        let module = try result.get()
        for kernel in missing[key] ?? [] {
          try keep(module.function(kernel.kernel), kernel)
        }
      }
    }
  }
}

/// What names a module.
private struct ModuleKey: Hashable {
  let source: String
  let options: [String]
}
