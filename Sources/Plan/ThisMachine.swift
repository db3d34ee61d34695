import Foundation

#if canImport(Metal)
  import Metal
#endif

extension Machines {
  /// The machine that qtool runs on, as the operating system describes it.
  ///
  /// On macOS: the GPU's working-set limit (raised by `iogpu.wired_limit_mb`) and the chip's bandwidth. Elsewhere: three
  /// quarters of the memory that this process may use, and no bandwidth.
  public static var this: Machine {
    let memory = memoryOfThisMachine
    #if canImport(Metal)
      let chip = systemString("machdep.cpu.brand_string") ?? "this Mac"
      let bandwidth = appleBandwidth[chip].map { $0 * 1e9 }
      if let device = MTLCreateSystemDefaultDevice(), device.recommendedMaxWorkingSetSize > 0 {
        return Machine(
          name: "this", title: "\(chip), \(memory / (1 << 30)) GB", memory: memory,
          limit: Int(clamping: device.recommendedMaxWorkingSetSize),
          limitSource: "recommendedMaxWorkingSetSize of this Mac", bandwidth: bandwidth,
          bandwidthSource: "Apple's technical specifications", reserve: reserve, isMac: true)
      }
      return Machine(memory: memory, bandwidth: bandwidth, reserve: nil, name: "this", title: chip)
    #else
      return Machine(memory: memory, bandwidth: nil, reserve: nil, name: "this", title: "this machine")
    #endif
  }

  private static var memoryOfThisMachine: Int {
    let physical = Int(clamping: ProcessInfo.processInfo.physicalMemory)
    #if os(Linux)
      // A container's limit may be below the machine's memory.
      if let text = try? String(contentsOfFile: "/sys/fs/cgroup/memory.max", encoding: .utf8),
        let most = Int(text.trimmingCharacters(in: .whitespacesAndNewlines)), most > 0
      {
        return min(physical, most)
      }
    #endif
    return physical
  }

  #if canImport(Metal)
    private static func systemString(_ name: String) -> String? {
      var size = 0
      guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 1 else { return nil }
      var bytes = [UInt8](repeating: 0, count: size)
      guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  #endif
}
