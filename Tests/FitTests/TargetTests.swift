import Checkpoint
import Fit
import GGUF
import Quantize
import Tensors
import TestSupport
import Testing

/// Targets in bytes: every size from the smallest file to the largest gives a file.
@Suite struct TargetTests {
  /// A DeepSeek V2 mixture of a few hundred thousand weights. Its `attn_k_b` has rows of 64, which only blocks of 32 fit.
  static let mixture: TypedShapes = {
    let metadata: Metadata = [
      "general.architecture": .string("deepseek2"), "deepseek2.block_count": .uint32(3),
      "deepseek2.attention.head_count": .uint32(4), "deepseek2.expert_count": .uint32(4),
      "tokenizer.ggml.tokens": .array(.string((0..<512).map { "token \($0)" })),
    ]
    var tensors: [TensorInfo] = []
    func add(_ name: String, _ dimensions: [Int], _ type: GGMLType = .f16) {
      tensors.append(TensorInfo(name: name, shape: Shape(dimensions)!, type: type))
    }
    add("token_embd.weight", [256, 512])
    for layer in 0..<3 {
      add("blk.\(layer).attn_norm.weight", [256], .f32)
      add("blk.\(layer).attn_q.weight", [256, 256])
      add("blk.\(layer).attn_kv_a_mqa.weight", [256, 160])
      add("blk.\(layer).attn_k_b.weight", [64, 128, 4])
      add("blk.\(layer).attn_v_b.weight", [128, 64, 4])
      add("blk.\(layer).attn_output.weight", [256, 256])
      add("blk.\(layer).ffn_gate_exps.weight", [256, 64, 4])
      add("blk.\(layer).ffn_up_exps.weight", [256, 64, 4])
      add("blk.\(layer).ffn_down_exps.weight", [64, 256, 4])
      add("blk.\(layer).ffn_gate_inp.weight", [256, 4], .f32)
    }
    add("output_norm.weight", [256], .f32)
    add("output.weight", [256, 512])
    return TypedShapes(name: "mixture", metadata: metadata, tensors: tensors)
  }()

  /// Costs like those of types: each bit quarters the error, and tensors differ.
  private func options(_ menus: TypeMenus, _ size: FileSize) -> [[AllocationOption]] {
    var random = SplitMix(seed: 5)
    return menus.tensors.indices.map { index in
      let worth = Double.random(in: 0.1..<10, using: &random)
      return menus.types[index].map { type in
        let bits = type.bitsPerWeight
        return AllocationOption(
          type: type, bytes: size.bytes(of: index, as: type)!,
          cost: type == menus.tensors[index].type ? 0 : worth * power(4, -bits))
      }
    }
  }

  private func power(_ base: Double, _ exponent: Double) -> Double {
    var (result, remaining) = (1.0, exponent)
    while remaining <= -1 { (result, remaining) = (result / base, remaining + 1) }
    return result * (1 + remaining * (1 - 1 / base))
  }

  private func header(_ source: any ModelSource, _ overrides: [(key: String, value: MetadataValue)] = [])
    -> OutputHeader
  {
    OutputHeader(
      source: source, importance: ImportanceProvenance(computedFrom: ["text.txt"]),
      fingerprint: String(repeating: "a", count: 64), overrides: overrides)
  }

  @Test(arguments: ["demo", "mixture"]) func everySizeGivesAFile(model: String) throws {
    let source: any ModelSource = model == "demo" ? try openModel(path: Repository.demoModel) : Self.mixture
    let target = FitTarget(0, header: header(source), hasImportance: true)
    let (smallest, largest) = (try target.smallest(), try target.largest())
    let allocator = TargetAllocator(options(target.menus, target.size), size: target.size, upTo: largest)
    #expect(try allocator.types(for: smallest - 1) == nil)
    var previous = 0
    // Every step of 997 bytes passes too; the larger model tests every twenty-first.
    let step = model == "demo" ? 21 * 997 : 997
    for bytes in [smallest, smallest + 1] + Array(stride(from: smallest, through: largest, by: step)) + [largest] {
      let types = try #require(try allocator.types(for: bytes), "\(bytes) of \(smallest) to \(largest)")
      let size = try target.size.bytes(of: types)
      #expect(size <= bytes)
      // With many types, few bytes are unused.
      if bytes > smallest * 5 / 4, bytes < largest / 2 { #expect(bytes - size < bytes / 100, "\(bytes): \(size)") }
      previous = size
    }
    #expect(previous == largest)
    for wrong in [smallest - 1, largest + 1] {
      #expect(throws: QuantizeError.self) {
        try FitTarget(wrong, header: header(source), hasImportance: true).check()
      }
    }
    for right in [smallest, largest] { try FitTarget(right, header: header(source), hasImportance: true).check() }
  }

  /// The size by types equals that of the file's layout, for all types and alignments.
  @Test(arguments: [nil, 64, 1024] as [UInt32?]) func sizesAreThoseOfLayouts(alignment: UInt32?) throws {
    let header = header(Self.mixture, alignment.map { [("general.alignment", .uint32($0))] } ?? [])
    let size = FileSize(header)
    let menus = TypeMenus(of: Self.mixture, hasImportance: true)
    var random = SplitMix(seed: 3)
    for _ in 0..<50 {
      let types = menus.types.map { $0.randomElement(using: &random)! }
      let plan = try header.plan(types)
      #expect(try size.bytes(of: types) == plan.totalBytes)
      #expect(try size.headerBytes(of: types) == plan.headerBytes)
    }
    let replaced = OutputHeader(
      source: Self.mixture, importance: nil, fingerprint: "", overrides: [("quantize.recipe", .string("mine"))])
    let types = menus.types.map { $0[0] }
    #expect(try FileSize(replaced).bytes(of: types) == replaced.plan(types).totalBytes)
  }

  /// Ternary types and MXFP4 suit models that were trained with their levels. Nothing is made larger than it is.
  @Test func menusLeaveTypesForTrainedLevelsOut() throws {
    let trained: Set<GGMLType> = [.tq1_0, .tq2_0, .mxfp4]
    #expect(TypeMenus(of: Self.mixture, hasImportance: true).types.joined().allSatisfy { !trained.contains($0) })
    var constraints = TypeConstraints()
    constraints.only = [.tq2_0, .q4_K]
    let named = TypeMenus(of: Self.mixture, hasImportance: true, constraints: constraints)
    #expect(named.types.joined().contains(.tq2_0))
    let source = TypedShapes(
      name: "published", metadata: ["general.architecture": .string("gpt-oss")],
      tensors: [(2880, GGMLType.mxfp4), (256, .mxfp4), (2880, .q8_0)].enumerated().map { index, tensor in
        TensorInfo(name: "blk.\(index).ffn_up_exps.weight", shape: Shape([tensor.0, 8, 2])!, type: tensor.1)
      })
    let menus = TypeMenus(of: source, hasImportance: true)
    #expect(menus.types[0] == [.mxfp4])
    #expect(menus.types[1].contains(.mxfp4) && menus.types[1].contains(.q3_K) && !menus.types[1].contains(.q4_K))
    #expect(menus.types[2].contains(.q8_0) && menus.types[2].contains(.q4_0) && !menus.types[2].contains(.mxfp4))
    constraints = TypeConstraints()
    constraints.kept = ["blk.1.ffn_up_exps.weight"]
    #expect(TypeMenus(of: source, hasImportance: true, constraints: constraints).types[1] == [.mxfp4])
  }

  /// Tensors so small that a rule of the recipe takes more bytes than a larger type, compared with every combination.
  @Test func theSmallestFileCountsItsRecipe() throws {
    var tensors = [TensorInfo(name: "token_embd.weight", shape: Shape([32, 2])!, type: .f16)]
    for layer in 0..<2 {
      for name in ["attn_q", "ffn_up"] {
        tensors.append(
          TensorInfo(name: "blk.\(layer).\(name).weight", shape: Shape([layer == 0 ? 32 : 96, 4])!, type: .f16))
      }
    }
    let source = TypedShapes(
      name: "tiny", metadata: ["general.architecture": .string("llama"), "llama.block_count": .uint32(2)],
      tensors: tensors)
    let size = FileSize(header(source))
    // The smallest type of each tensor, and others that are slightly larger.
    let menus: [[GGMLType]] = [
      [.q4_0, .iq4_nl, .q8_0], [.mxfp4, .q4_0, .q5_0], [.q5_0, .q4_1], [.iq4_nl, .q5_0, .q8_0], [.q4_0, .mxfp4],
    ]
    var minimum = Int.max
    for number in 0..<3 * 3 * 2 * 3 * 2 {
      var remaining = number
      let types = menus.map { menu -> GGMLType in
        defer { remaining /= menu.count }
        return menu[remaining % menu.count]
      }
      minimum = min(minimum, try size.bytes(of: types))
    }
    #expect(try size.bytes(of: size.smallest(menus)) == minimum)
    let byTensors = try size.bytes(of: [.q4_0, .mxfp4, .q4_1, .iq4_nl, .mxfp4])
    #expect(minimum < byTensors, "\(minimum) and \(byTensors)")
  }
}
