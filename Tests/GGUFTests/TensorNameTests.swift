import GGUF
import Tensors
import Testing

@Suite struct TensorNameTests {
  @Test(arguments: [
    ("blk.12.attn_q.weight", 12, "attn_q.weight", "attn_q"),
    ("blk.0.ffn_down_exps.weight", 0, "ffn_down_exps.weight", "ffn_down_exps"),
    ("blk.3.attn_q.bias", 3, "attn_q.bias", "attn_q.bias"),
    ("token_embd.weight", nil, "token_embd.weight", "token_embd"),
    ("blk.weight", nil, "blk.weight", "blk"), ("blk.7", nil, "blk.7", "blk.7"), ("blk.7.", nil, "blk.7.", "blk.7."),
    ("v.blk.0.attn_q.weight", nil, "v.blk.0.attn_q.weight", "v.blk.0.attn_q"),
    // Forms of numbers that llama.cpp does not write.
    ("blk.-1.attn_q.weight", nil, "blk.-1.attn_q.weight", "blk.-1.attn_q"),
    ("blk.07.attn_q.weight", nil, "blk.07.attn_q.weight", "blk.07.attn_q"),
    ("blk.+7.attn_q.weight", nil, "blk.+7.attn_q.weight", "blk.+7.attn_q"),
    ("blk.99999999999999999999.x", nil, "blk.99999999999999999999.x", "blk.99999999999999999999.x"),
  ])
  func layersAndClasses(text: String, layer: Int?, layerClass: String, title: String) {
    let name = TensorName(text)
    #expect(name.layer == layer && name.layerClass == layerClass && name.title == title)
    #expect(name.inLayer(5) == (layer == nil ? text : "blk.5." + layerClass))
  }

  @Test(arguments: [
    ("blk.1.attn_v.weight", [64, 64], true), ("blk.1.attn_v.bias", [64, 64], false),
    ("blk.1.ffn_gate_inp.weight", [64, 8], false), ("blk.1.attn_norm.weight", [64], false),
    ("blk.1.ffn_gate_exps.weight", [64, 1, 8], true), ("blk.1.ffn_up.weight", [64, 1], false),
  ])
  func quantizableTensors(name: String, shape: [Int], expected: Bool) throws {
    #expect(TensorInfo(name: name, shape: try #require(Shape(shape)), type: .f16).isQuantizable == expected)
  }
}

@Suite struct HyperparametersTests {
  private static let scalars: [MetadataValue] = [
    .uint8(5), .int8(5), .uint16(5), .int16(5), .uint32(5), .int32(5), .uint64(5), .int64(5),
  ]
  private static let arrays: [MetadataArray] = [
    .uint8([5, 7]), .int8([5, 7]), .uint16([5, 7]), .int16([5, 7]), .uint32([5, 7]), .int32([5, 7]), .uint64([5, 7]),
    .int64([5, 7]),
  ]

  private func hyperparameters(_ value: MetadataValue) throws -> Hyperparameters {
    try Hyperparameters(["general.architecture": .string("foo"), "foo.n": value])
  }

  @Test(arguments: scalars) func integersOfAnyWidth(value: MetadataValue) throws {
    let keys = try hyperparameters(value)
    #expect(try keys.int("n") == 5 && keys.optionalInts("n") == [5] && keys.uniformInt("n") == 5)
    #expect(try keys.double("n") == 5)
    #expect(keys.metadata.optionalInts("foo.n") == [5])
    #expect(throws: MetadataError(key: "foo.n", "is 5, outside 6 to 9")) { try keys.int("n", in: 6...9) }
  }

  @Test(arguments: arrays) func arraysOfAnyWidth(array: MetadataArray) throws {
    let keys = try hyperparameters(.array(array))
    #expect(try keys.optionalInts("n") == [5, 7])
    #expect(keys.metadata.optionalInts("foo.n") == [5, 7])
    #expect(throws: MetadataError(key: "foo.n", "is not an integer")) { try keys.int("n") }
    #expect(throws: MetadataError(key: "foo.n", "is 7, outside 0 to 6")) { try keys.optionalInts("n", in: 0...6) }
    #expect(throws: MetadataError(key: "foo.n", "differs between layers, which is not supported")) {
      try keys.uniformInt("n")
    }
  }

  @Test func otherValuesAreNamed() throws {
    for value in [
      MetadataValue.float32(5), .string("5"), .bool(true), .uint64(.max), .array(.float32([5])),
      .array(.uint64([.max])),
      .array(.uint16([])),
    ] {
      let keys = try hyperparameters(value)
      #expect(throws: MetadataError.self, "\(value)") { try keys.optionalInts("n") }
    }
    let keys = try hyperparameters(.uint32(1))
    #expect(throws: MetadataError.missing("foo.m")) { try keys.int("m") }
    #expect(try keys.optionalInt("m") == nil && keys.optionalInts("m") == nil && !keys.has("m"))
    #expect(throws: MetadataError.missing("general.architecture")) { try Hyperparameters([:]) }
  }
}
