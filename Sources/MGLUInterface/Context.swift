import CMGLUInterface
import MGLU

#if canImport(Glibc)
  import Glibc
#elseif canImport(Musl)
  import Musl
#else
  import Darwin
#endif

/// What a caller holds as `mglu_context`: a backend, which calls use one after the other.
final class Context: @unchecked Sendable {
  let backend: any BorrowingBackend
  /// The backend where it is a processor's.
  let processor: CPUBackend?
  let isGPU: Bool
  private var lock: UnsafeMutablePointer<pthread_mutex_t>
  private let renewal = ForkRenewal()
  // Descriptions of weights that were used before, each at a place that its addresses say: making one costs
  // as much as a small pass. Used under the lock.
  private var descriptions = [Description?](repeating: nil, count: 64)

  init(_ backend: any BorrowingBackend, isGPU: Bool) {
    (self.backend, self.isGPU) = (backend, isGPU)
    processor = backend as? CPUBackend
    lock = Self.makeLock()
  }

  deinit {
    pthread_mutex_destroy(lock)
    lock.deallocate()
  }

  private static func makeLock() -> UnsafeMutablePointer<pthread_mutex_t> {
    let lock = UnsafeMutablePointer<pthread_mutex_t>.allocate(capacity: 1)
    pthread_mutex_init(lock, nil)
    return lock
  }

  /// The context behind a pointer.
  static func of(_ pointer: OpaquePointer?) throws(InterfaceError) -> Context {
    guard let pointer else { throw invalid("the context is NULL") }
    return Unmanaged<Context>.fromOpaque(UnsafeRawPointer(pointer)).takeUnretainedValue()
  }

  /// Has the backend perform `body`, whose operations go where `call` says.
  func perform(
    _ call: BorrowedCall = BorrowedCall(), _ body: () -> Void
  ) throws(InterfaceError) {
    if renewal.isDue {
      guard !isGPU else {
        throw InterfaceError(
          .forked, "this process is a fork of the one that made the context of a GPU",
          remedy: "start processes that use GPUs by spawn")
      }
      renewal.renew { lock = Self.makeLock() }
    }
    pthread_mutex_lock(lock)
    defer { pthread_mutex_unlock(lock) }
    do throws(BackendError) { try backend.perform(call, body) } catch {
      throw InterfaceError(error)
    }
  }

  /// The weights of a unit at `regions`; under the lock.
  func packedWeights(_ unit: UnitArgument, at regions: PackedRegions) -> PackedWeights {
    let hash = (regions.weights ^ regions.words &* 3) &* 0x9E37_79B9_7F4A_7C15
    let place = Int(hash >> (UInt.bitWidth - 6))
    if let found = descriptions[place], found.unit == unit, found.regions == regions {
      return found.weights
    }
    let weights = backend.packedWeights(
      rows: unit.rows, columns: unit.columns, gating: unit.gating, activation: unit.activation,
      as: unit.type, at: regions)
    descriptions[place] = Description(unit: unit, regions: regions, weights: weights)
    return weights
  }
}

/// Packed weights, and where they lie.
private struct Description {
  let unit: UnitArgument
  let regions: PackedRegions
  let weights: PackedWeights
}

/// `mglu_abi_version` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_abi_version() -> Int32 { MGLU_ABI_VERSION }

/// A processor without a BLAS: the caller's products are its own, and so is the thread count of its BLAS,
/// which a backend that opens it would change.
private func processor(threads: Int?) throws(BackendError) -> CPUBackend {
  try CPUBackend(
    threads: threads, instructionSet: Environment.value("MGLU_ISA"), usesBLAS: false)
}

/// `mglu_context_create` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_context_create(
  _ options: UnsafePointer<mglu_context_options>?,
  _ context: UnsafeMutablePointer<OpaquePointer?>?, _ error: UnsafeMutablePointer<mglu_error>?
) -> Int32 {
  reporting(to: error) { () throws(InterfaceError) in
    let options = try checked(options, \.size, "options")
    guard let context else { throw invalid("there is no place for the context") }
    guard options.device >= -1 else {
      throw invalid("device \(options.device): expected -1 or the number of a GPU")
    }
    guard (0...1024).contains(options.threads) else {
      throw invalid("\(options.threads) threads: expected 1 to 1024, or 0 for all")
    }
    let made: Context
    do throws(BackendError) {
      if options.device < 0 {
        made = Context(
          try processor(threads: options.threads == 0 ? nil : Int(options.threads)), isGPU: false)
      } else {
        // The compiler is looked for once in a process, under its variable.
        if let nvrtc = options.nvrtc { setenv("MGLU_NVRTC", nvrtc, 0) }
        let host = try processor(threads: 1)
        let backend = try Device.cuda(Int(options.device)).backend(host: host)
        guard let backend = backend as? any BorrowingBackend else {
          throw BackendError(.operation, "\(backend.summary) takes no memory of others")
        }
        made = Context(backend, isGPU: true)
      }
    } catch { throw InterfaceError(error) }
    context.pointee = OpaquePointer(Unmanaged.passRetained(made).toOpaque())
  }
}

/// `mglu_context_destroy` of mglu.h.
// swift-format-ignore: AlwaysUseLowerCamelCase
@c @implementation public func mglu_context_destroy(_ context: OpaquePointer?) {
  guard let context else { return }
  Unmanaged<Context>.fromOpaque(UnsafeRawPointer(context)).release()
}
