#if canImport(Metal)
  import Foundation
  import Metal

  extension Machines {
    static var described: Machine {
      let memory = Int(clamping: ProcessInfo.processInfo.physicalMemory)
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
    }

    private static func systemString(_ name: String) -> String? {
      var size = 0
      guard sysctlbyname(name, nil, &size, nil, 0) == 0, size > 1 else { return nil }
      var bytes = [UInt8](repeating: 0, count: size)
      guard sysctlbyname(name, &bytes, &size, nil, 0) == 0 else { return nil }
      return String(decoding: bytes.prefix { $0 != 0 }, as: UTF8.self)
    }
  }
#endif
