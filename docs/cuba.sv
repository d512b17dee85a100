// A CUBA neuron with the device's widths, and a test bench that holds it beside a case of the conformance suite. In the
// folder of a case:  iverilog -g2012 -I . -o bench ../../cuba.sv && vvp bench
module cuba (
    input logic clock,
    input logic load,  // take the state that is given instead of a step
    input logic signed [31:0] given_current, given_voltage, a, bias, threshold,
    input logic [12:0] current_decay, voltage_decay,
    input logic signed [5:0] exponent,
    output logic spike,
    output logic signed [31:0] current, voltage
);
    localparam logic signed [63:0] HALF = 1 <<< 23, WHOLE = 1 <<< 24;

    // x * (1 - decay / 4096), rounded toward zero as / does
    function automatic logic signed [63:0] leak(input logic signed [31:0] x, input logic [12:0] decay);
        logic signed [63:0] left = 64'(13'd4096 - decay);
        return 64'(x) * left / 64'sd4096;
    endfunction

    function automatic logic signed [31:0] fold(input logic signed [31:0] x);
        logic signed [63:0] y = 64'(x);
        y = y > HALF ? y - WHOLE : y;
        return 32'(y <= -HALF ? y + WHOLE : y);
    endfunction

    function automatic logic signed [31:0] clip(input logic signed [31:0] x);
        return 64'(x) >= HALF ? 32'(HALF - 1) : 64'(x) <= -HALF ? 32'(1 - HALF) : x;
    endfunction

    logic signed [31:0] u, w;
    logic signed [63:0] drive;
    always_comb begin
        u = fold(32'(leak(current, current_decay) + 64'(a)));
        drive = 64'(u) + 64'(bias);
        drive = exponent >= 0 ? drive / (64'sd1 <<< exponent) : drive <<< -exponent;
        w = clip(32'(leak(voltage, voltage_decay) + drive));
    end

    always_ff @(posedge clock) begin
        current <= load ? given_current : u;
        voltage <= load ? given_voltage : w > threshold ? 0 : w;
        spike <= !load && w > threshold;
    end
endmodule

module bench;
    `include "case.svh"
    localparam int M = LANES, T = STEPS;
    logic signed [63:0] records[0:RECORDS-1], stimulus[0:T*M-1], expected[0:T*EXPECTED_WIDTH-1];
    logic clock = 0, load = 1;
    logic signed [31:0] a[M], current[M], voltage[M];
    logic spike[M];
    int wrong = 0;

    for (genvar i = 0; i < M; i++) begin : lane
        cuba dut (
            clock, load, records[STATE_CURRENT_AT + i][31:0], records[STATE_VOLTAGE_AT + i][31:0], a[i],
            records[PARAMETER_BIAS_AT + i][31:0], records[PARAMETER_THRESHOLD_AT + i][31:0],
            records[PARAMETER_CURRENT_DECAY_AT + i][12:0], records[PARAMETER_VOLTAGE_DECAY_AT + i][12:0],
            records[PARAMETER_EXPONENT_AT + i][5:0], spike[i], current[i], voltage[i]
        );
    end

    task automatic tick;
        #1 clock = 1;
        #1 clock = 0;
    endtask

    initial begin
        $readmemh("records.mem", records);
        $readmemh("stimulus.mem", stimulus);
        $readmemh("expected.mem", expected);
        tick;
        load = 0;
        for (int t = 0; t < T; t++) begin
            for (int i = 0; i < M; i++) a[i] = stimulus[t * M + i][31:0];
            tick;
            for (int i = 0; i < M; i++) begin
                // a line of the answer: spikes, currents, voltages
                if (64'(spike[i]) != expected[(3 * t + 0) * M + i] || 64'(current[i]) != expected[(3 * t + 1) * M + i]
                        || 64'(voltage[i]) != expected[(3 * t + 2) * M + i]) begin
                    wrong++;
                    if (wrong == 1) $display("step %0d, lane %0d: differs", t, i);
                end
            end
        end
        $display("%0d of %0d differ", wrong, T * M);
        $finish;
    end
endmodule
