import MGLUCompute
import MGLUTestSupport
import Testing

@Suite struct DeviceTests {
  @Test func namesAreRead() throws {
    #expect(try Device(parsing: "cpu") == .cpu)
    #expect(try Device(parsing: "cuda") == .cuda(0))
    #expect(try Device(parsing: "cuda:0") == .cuda(0))
    #expect(try Device(parsing: "cuda:17") == .cuda(17))
    for device in [Device.cpu, .cuda(3)] { #expect(try Device(parsing: "\(device)") == device) }
  }

  @Test(arguments: [
    "", "gpu", "CPU", "cpu:0", "cuda:", "cuda:x", "cuda:-1", "cuda:+1", "cuda:1:2", ":0",
    "cuda: 1", "cuda:99999999999999999999", "cuda:\u{661}",
  ])
  func junkIsAnErrorThatNamesIt(text: String) {
    let error = #expect(throws: DeviceError.self) { try Device(parsing: text) }
    #expect(error?.code == .malformed)
    #expect(error?.description.contains("\"\(text)\"") == true)
    #expect(error?.description.contains("cuda:N") == true)
  }

  @Test func numbersOutOfRangeNameWhatThereIs() {
    let error = CUDADevice.absent(2, among: ["NVIDIA H100", "NVIDIA L4"])
    #expect(error.code == .noDevice)
    #expect(error.message.contains("cuda:2"))
    #expect(error.message.contains("cuda:0 (NVIDIA H100), cuda:1 (NVIDIA L4)"))
    #expect(CUDADevice.absent(0, among: []).message.contains("shows none"))
  }
}

@Suite struct SharedLibraryTests {
  @Test func errorsListWhatWasTried() throws {
    let error = #expect(throws: LibraryError.self) {
      try SharedLibrary(
        "a library", anyOf: ["libabsent-one.so", "libabsent-two.so.7", "/etc/passwd"],
        having: "function")
    }
    #expect(error?.code == .notFound)
    for part in ["a library", "libabsent-one.so,", "libabsent-two.so.7,", "/etc/passwd"] {
      #expect(error?.message.contains(part) == true, "\(part): \(error?.message ?? "")")
    }
  }

  @Test func librariesWithoutTheFunctionAreRefused() throws {
    // The C library is there wherever these tests run.
    let names = ["libc.so.6", "libSystem.dylib"]
    #expect(throws: Never.self) { try SharedLibrary("C", anyOf: names, having: "strlen") }
    let error = #expect(throws: LibraryError.self) {
      try SharedLibrary("C", anyOf: names, having: "no_such_function")
    }
    #expect(error?.message.contains("without no_such_function") == true)
  }

  /// A tree of a toolkit, a Debian machine, a virtual environment and an interpreter on the path.
  @Test func usualPlacesAreSearchedBestFirst() throws {
    try withTemporaryFolder { root in
      let files = [
        "/usr/local/cuda-12.4/lib64", "/usr/local/cuda-13.0/lib64", "/usr/lib/x86_64-linux-gnu",
        "/venv/lib/python3.11/site-packages/nvidia/cu13/lib",
        "/python/lib/python3.12/site-packages/nvidia/cuda_nvrtc/lib",
        "/python/lib/python3/dist-packages/nvidia/cu13/lib",
        "/opt/app/.venv/lib/python3.10/site-packages/nvidia/cu13/lib",
      ].map { root + $0 + "/libx.so.1" }
      for file in files {
        try Folder.create(Folder.parent(of: file))
        try AtomicFile.write([], to: file)
      }
      try Folder.create(root + "/python/bin")
      try AtomicFile.write([], to: root + "/python/bin/python3")
      let variables = ["VIRTUAL_ENV": root + "/venv", "PATH": "/absent:\(root)/python/bin"]
      let search = LibrarySearch(root: root) { variables[$0] }
      // Where the process runs is no place for libraries.
      let relative = LibrarySearch(root: root) { name in
        ["PATH": "bin:.", "VIRTUAL_ENV": "venv", "CUDA_HOME": ".", "HOME": "."][name]
      }
      let others = relative.candidates(["libx.so.1"], wheels: ["lib"])
      #expect(others.dropFirst().allSatisfy { $0.hasPrefix("/") })
      let found = search.candidates(
        ["libx.so.1", "libx.so"], wheels: ["nvidia/cu13/lib", "nvidia/cuda_nvrtc/lib"])
      #expect(found.prefix(2) == ["libx.so.1", "libx.so"])
      let own = found.filter { $0.hasPrefix(root) }
      #expect(Set(own) == Set(files) && own.count == files.count)
      // The newest toolkit first, and toolkits before wheels.
      #expect(own.first == files[1] && own[1] == files[0] && own[3] == files[3])
    }
  }
}
