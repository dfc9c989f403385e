import MGLUCompute

/// The devices and libraries of this machine, and the missing ones.
package struct DeviceReport: Sendable, Encodable {
  /// This machine's processor.
  package struct Processor: Sendable, Encodable {
    /// Instruction set, threads and BLAS.
    package let summary: String
    /// The instruction sets there are kernels for, best first.
    package let instructionSets: [String]
    /// Bytes of memory.
    package let memoryBytes: Int
  }

  /// A GPU.
  package struct GPU: Sendable, Encodable {
    /// As the option `--device` names it.
    package let device: String
    /// Its name.
    package let name: String
    /// Its compute capability.
    package let capability: String
    /// Streaming multiprocessors.
    package let multiprocessors: Int
    /// Bytes of memory.
    package let memoryBytes: Int
    /// Those free now.
    package private(set) var freeBytes: Int?
    /// Bytes of the second-level cache.
    package let l2Bytes: Int
    /// The bandwidth of the memory's clock and width in GB/s, where the driver reports them.
    package let peakGbPerS: Double?
    /// The measured bandwidth in GB/s.
    package private(set) var readGbPerS: Double?
    /// Why it cannot be used.
    package private(set) var problem: String?

    init(
      _ device: CUDADevice, readBandwidth: ((CUDAContext) throws(CUDAError) -> Double)?
    ) {
      self.device = "\(Device.cuda(device.ordinal))"
      name = device.name
      capability = "\(device.capability)"
      multiprocessors = device.multiprocessorCount
      memoryBytes = device.memoryByteCount
      l2Bytes = device.l2ByteCount
      peakGbPerS = device.peakBytesPerSecond.map { $0 / 1e9 }
      do throws(CUDAError) {
        let context = try CUDAContext(device)
        freeBytes = try context.memory.free
        readGbPerS = try readBandwidth.map { measure throws(CUDAError) in try measure(context) / 1e9
        }
      } catch {
        problem = error.description
      }
    }
  }

  /// A library opened at run time.
  package struct Library: Sendable, Encodable {
    /// Its name.
    package let name: String
    /// Its purpose.
    package let purpose: String
    /// Its file, where it was found.
    package private(set) var path: String?
    /// Its version, where it tells.
    package private(set) var version: String?
    /// Why it cannot be used.
    package private(set) var problem: String?
    /// How to install it.
    package private(set) var remedy: String?

    init(_ library: LocatedLibrary) {
      name = library.name
      purpose = library.purpose
      switch library.state {
      case .success(let found): (path, version) = (found.path, found.version)
      case .failure(let missing): (problem, remedy) = (missing.message, missing.remedy)
      }
    }
  }

  /// The processor.
  package let cpu: Processor
  /// Every GPU.
  package private(set) var gpus: [GPU] = []
  /// The reason for a missing GPU, where there is a driver.
  package private(set) var gpuProblem: String?
  /// Every library that may be opened.
  package let libraries: [Library]
  /// Why compiled kernels are not kept, where their folder is not the user's own.
  package let kernelCacheProblem: String?

  /// Looks at the machine.
  ///
  /// - Parameter readBandwidth: What measures the bytes that a GPU reads in a second, if that is
  ///   wanted.
  package init(
    readBandwidth: ((CUDAContext) throws(CUDAError) -> Double)? = nil
  ) throws(BackendError) {
    let backend = try CPUBackend()
    cpu = Processor(
      summary: backend.summary, instructionSets: CPUBackend.instructionSets,
      memoryBytes: PhysicalMemory.byteCount)
    libraries = LocatedLibrary.all().map(Library.init)
    kernelCacheProblem = KernelCache.standard.problem?.description
    do throws(CUDAError) {
      gpus = try CUDADevice.all.map { GPU($0, readBandwidth: readBandwidth) }
    } catch {
      // The list of libraries reports a missing driver.
      if error.code != .noDriver { gpuProblem = error.description }
    }
  }
}
