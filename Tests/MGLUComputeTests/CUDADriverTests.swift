import MGLUCompute
import Testing

@Suite struct CUDADriverTests {
  let driver: CUDADriver

  init() throws { driver = try CUDADriver(path: "fake", lookup: FakeDriver.lookup) }

  @Test func outOfMemoryTellsWhatWasAskedForAndWhatIsFree() {
    let error = driver.error(2, "cuMemAlloc", requesting: 90 << 30)
    #expect(error.code == .outOfMemory)
    #expect(
      error.message
        == "cuMemAlloc: CUDA_ERROR_OUT_OF_MEMORY (out of memory): 90.00 GiB were asked for, "
        + "1.50 of 80.00 GiB are free")
    #expect(error.remedy?.contains("nvidia-smi") == true)
  }

  @Test func faultsOfKernelsSayThatTheProcessCannotGoOn() {
    let error = driver.error(700, "cuStreamSynchronize")
    #expect(error.code == .kernelFault)
    #expect(
      error.message == "cuStreamSynchronize: CUDA_ERROR_ILLEGAL_ADDRESS (an illegal memory access)")
    #expect(error.remedy?.contains("compute-sanitizer") == true)
  }

  @Test func oldDriversAreToldFromTheirVersion() {
    let error = driver.error(222, "cuModuleLoadData of read")
    #expect(error.code == .driverTooOld)
    #expect(error.message.contains("this driver supports CUDA 13.1"))
    #expect(error.remedy?.contains("nvidia-cuda-nvrtc") == true)
  }

  @Test func errorsWithoutANameKeepTheirNumber() {
    let error = driver.error(4242, "cuInit")
    #expect(error.code == .call(4242))
    #expect(error.message == "cuInit: CUDA error 4242")
  }

  /// The fake GPU is of 9.0.
  @Test func aDeviceMayStandForAnOlderOne() throws {
    #expect(try CUDADevice(0, driver, olderCapability: nil).capability == CUDACapability(9, 0))
    for text in ["8.0", "8.6", "9.0"] {
      let device = try CUDADevice(0, driver, olderCapability: text)
      #expect(device.capability.description == text)
    }
    for text in ["7.5", "9.1", "12.0", "8", "8.x", "8.0.0", ""] {
      let error = #expect(throws: CUDAError.self) {
        try CUDADevice(0, driver, olderCapability: text)
      }
      #expect(error?.message.contains("8.0 to 9.0") == true, "\(text)")
    }
  }

  @Test func driversThatLackAFunctionAreTooOld() {
    let error = #expect(throws: CUDAError.self) {
      try CUDADriver(path: "libcuda.so.1") { library, symbol in
        symbol.map { String(cString: $0) } == "cuLaunchKernelEx"
          ? nil : FakeDriver.lookup(library, symbol)
      }
    }
    #expect(error?.code == .driverTooOld)
    #expect(error?.message.contains("lacks cuLaunchKernelEx") == true)
  }

  @Test(.enabled(if: (try? CUDADriver.opened.get()) == nil, "this machine has a driver"))
  func machinesWithoutADriverAreToldWhatToInstall() {
    let error = #expect(throws: CUDAError.self) { try CUDADevice.find(ordinal: 0) }
    #expect(error?.code == .noDriver)
    #expect(error?.message.contains("libcuda.so.1") == true)
    #expect(error?.remedy?.contains("install NVIDIA's driver") == true)
  }
}
