// An MCP server (wire 2025-11-25) that has everything the conformance suite asks for: tools of every kind of content,
// requests to the client in the middle of a call, streams that break off and are resumed, sessions.
//
// Environment: PORT.
import { randomUUID } from 'node:crypto';
import { Server } from '@modelcontextprotocol/sdk/server/index.js';
import { createMcpExpressApp } from '@modelcontextprotocol/sdk/server/express.js';
import { StreamableHTTPServerTransport } from '@modelcontextprotocol/sdk/server/streamableHttp.js';
import {
  CallToolRequestSchema, CompleteRequestSchema, CreateMessageResultSchema, ElicitResultSchema, GetPromptRequestSchema,
  ListPromptsRequestSchema, ListResourceTemplatesRequestSchema, ListResourcesRequestSchema, ListToolsRequestSchema,
  ReadResourceRequestSchema, SetLevelRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema,
} from '@modelcontextprotocol/sdk/types.js';

const PNG = 'iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mP8z8DwHwAFBQIAX8jx0gAAAABJRU5ErkJggg==';
const WAV = 'UklGRiYAAABXQVZFZm10IBAAAAABAAEAQB8AAAB9AAACABAAZGF0YQIAAAA=';

const text = (text) => ({ type: 'text', text });
const image = { type: 'image', data: PNG, mimeType: 'image/png' };
const audio = { type: 'audio', data: WAV, mimeType: 'audio/wav' };
const embedded = (uri, mimeType, text) => ({ type: 'resource', resource: { uri, mimeType, text } });
const pause = () => new Promise((resolve) => setTimeout(resolve, 50));
const form = (properties, required = []) => ({ type: 'object', properties, required });
const string = { type: 'string' };

// A tool that asks the user, and says what the answer was.
const asks = (message, schema) => async (args, { sendRequest }) => {
  const params = { message: message ?? args.message, requestedSchema: schema };
  const { action, content } = await sendRequest({ method: 'elicitation/create', params }, ElicitResultSchema);
  return [text(`User response: action=${action}, content=${JSON.stringify(content ?? {})}`)];
};

const defaults = form({
  name: { ...string, default: 'John Doe' },
  age: { type: 'integer', default: 30 },
  score: { type: 'number', default: 95.5 },
  status: { ...string, enum: ['active', 'inactive', 'pending'], default: 'active' },
  verified: { type: 'boolean', default: true },
});
const titled = [1, 2, 3].map((number) => ({ const: `value${number}`, title: `Option ${number}` }));
const options = ['option1', 'option2', 'option3'];
const enums = form({
  untitledSingle: { ...string, enum: options },
  titledSingle: { ...string, oneOf: titled },
  legacyEnum: { ...string, enum: ['opt1', 'opt2', 'opt3'], enumNames: ['Option One', 'Option Two', 'Option Three'] },
  untitledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { ...string, enum: options } },
  titledMulti: { type: 'array', minItems: 1, maxItems: 3, items: { anyOf: titled } },
});

const tools = {
  test_simple_text: { run: () => [text('This is a simple text response for testing.')] },
  test_image_content: { run: () => [image] },
  test_audio_content: { run: () => [audio] },
  test_embedded_resource: { run: () => [embedded('test://embedded-resource', 'text/plain', 'This is an embedded resource content.')] },
  test_multiple_content_types: {
    run: () => [text('Multiple content types test:'), image, embedded('test://mixed-content-resource', 'application/json', '{"test":"data","value":123}')],
  },
  test_tool_with_logging: {
    async run(_args, { sendNotification }) {
      for (const data of ['Tool execution started', 'Tool processing data', 'Tool execution completed']) {
        await sendNotification({ method: 'notifications/message', params: { level: 'info', data } });
        await pause();
      }
      return [text('Tool with logging executed successfully')];
    },
  },
  test_tool_with_progress: {
    async run(_args, { sendNotification, _meta }) {
      const progressToken = _meta?.progressToken ?? 0;
      for (const progress of [0, 50, 100]) {
        await sendNotification({ method: 'notifications/progress', params: { progressToken, progress, total: 100 } });
        await pause();
      }
      return [text(String(progressToken))];
    },
  },
  test_error_handling: { run() { throw new Error('This tool intentionally returns an error for testing'); } },
  test_reconnection: {
    // The stream ends before the answer; the client comes back for it.
    async run(_args, { sessionId, requestId }) {
      sessions.get(sessionId).closeSSEStream(requestId);
      await pause();
      return [text('Reconnection test completed successfully.')];
    },
  },
  test_sampling: {
    schema: form({ prompt: string }, ['prompt']),
    async run({ prompt }, { sendRequest }) {
      const params = { messages: [{ role: 'user', content: text(prompt) }], maxTokens: 100 };
      const { content } = await sendRequest({ method: 'sampling/createMessage', params }, CreateMessageResultSchema);
      return [text(`LLM response: ${content.text}`)];
    },
  },
  test_elicitation: { schema: form({ message: string }, ['message']), run: asks(undefined, form({ response: string }, ['response'])) },
  test_elicitation_sep1034_defaults: { run: asks('Please review the defaults', defaults) },
  test_elicitation_sep1330_enums: { run: asks('Please select', enums) },
  json_schema_2020_12_tool: {
    schema: {
      $schema: 'https://json-schema.org/draft/2020-12/schema',
      ...form({ name: string, address: { $ref: '#/$defs/address' }, contactMethod: { ...string, enum: ['phone', 'email'] }, phone: string, email: string }),
      required: undefined,
      $defs: { address: { $anchor: 'addressDef', type: 'object', properties: { street: string, city: string } } },
      allOf: [{ anyOf: [{ required: ['phone'] }, { required: ['email'] }] }],
      if: { properties: { contactMethod: { const: 'phone' } }, required: ['contactMethod'] },
      then: { required: ['phone'] },
      else: { required: ['email'] },
      additionalProperties: false,
    },
    run: (args) => [text(JSON.stringify(args))],
  },
};

const resources = {
  'test://static-text': { mimeType: 'text/plain', text: 'This is the content of the static text resource.' },
  'test://static-binary': { mimeType: 'image/png', blob: PNG },
  'test://watched-resource': { mimeType: 'text/plain', text: 'Watched resource content' },
};

const says = (...contents) => ({ messages: contents.map((content) => ({ role: 'user', content })) });
const argument = (name) => ({ name, description: `The argument ${name}`, required: true });
const prompts = {
  test_simple_prompt: { run: () => says(text('This is a simple prompt for testing.')) },
  test_prompt_with_arguments: {
    arguments: [argument('arg1'), argument('arg2')],
    run: ({ arg1, arg2 }) => says(text(`Prompt with arguments: arg1='${arg1}', arg2='${arg2}'`)),
  },
  test_prompt_with_embedded_resource: {
    arguments: [argument('resourceUri')],
    run: ({ resourceUri }) => says(embedded(resourceUri, 'text/plain', 'Embedded resource content for testing.'), text('Please process the embedded resource above.')),
  },
  test_prompt_with_image: { run: () => says(image, text('Please analyze the image above.')) },
};

function mcpServer() {
  const capabilities = { tools: {}, resources: { subscribe: true }, prompts: {}, logging: {}, completions: {} };
  const server = new Server({ name: 'reference-server', version: '1' }, { capabilities });
  server.setRequestHandler(ListToolsRequestSchema, () => ({
    tools: Object.entries(tools).map(([name, { schema = form({}) }]) => ({ name, description: `The tool ${name}`, inputSchema: schema })),
  }));
  server.setRequestHandler(CallToolRequestSchema, async ({ params }, extra) => {
    try {
      return { content: await tools[params.name].run(params.arguments ?? {}, extra) };
    } catch (error) {
      return { content: [text(error.message)], isError: true };
    }
  });
  server.setRequestHandler(ListResourcesRequestSchema, () => ({
    resources: Object.entries(resources).map(([uri, { mimeType }]) => ({ uri, name: uri, mimeType })),
  }));
  server.setRequestHandler(ListResourceTemplatesRequestSchema, () => ({
    resourceTemplates: [{ uriTemplate: 'test://template/{id}/data', name: 'template', mimeType: 'application/json' }],
  }));
  server.setRequestHandler(ReadResourceRequestSchema, ({ params: { uri } }) => {
    const id = /^test:\/\/template\/(.*)\/data$/.exec(uri)?.[1];
    const found = id ? { mimeType: 'application/json', text: JSON.stringify({ id, data: `Data for ID: ${id}` }) } : resources[uri];
    return { contents: [{ uri, ...found }] };
  });
  server.setRequestHandler(ListPromptsRequestSchema, () => ({
    prompts: Object.entries(prompts).map(([name, prompt]) => ({ name, description: `The prompt ${name}`, arguments: prompt.arguments })),
  }));
  server.setRequestHandler(GetPromptRequestSchema, ({ params }) => prompts[params.name].run(params.arguments ?? {}));
  server.setRequestHandler(CompleteRequestSchema, () => ({ completion: { values: [], total: 0, hasMore: false } }));
  for (const schema of [SetLevelRequestSchema, SubscribeRequestSchema, UnsubscribeRequestSchema]) server.setRequestHandler(schema, () => ({}));
  return server;
}

// What was sent on streams, for clients that come back.
const events = [];
const eventStore = {
  async storeEvent(stream, message) {
    events.push({ stream, message });
    return String(events.length);
  },
  async replayEventsAfter(last, { send }) {
    const { stream } = events[Number(last) - 1];
    for (const [index, event] of events.entries()) {
      const isNews = event.stream === stream && index >= Number(last) && Object.keys(event.message).length > 0;
      if (isNews) await send(String(index + 1), event.message);
    }
    return stream;
  },
};

const sessions = new Map();
const app = createMcpExpressApp();
app.all('/mcp', async (req, res) => {
  const id = req.headers['mcp-session-id'];
  let transport = sessions.get(id);
  if (!transport && id) return res.status(404).end();
  if (!transport) {
    transport = new StreamableHTTPServerTransport({
      sessionIdGenerator: randomUUID,
      eventStore,
      retryInterval: 500,
      onsessioninitialized: (id) => sessions.set(id, transport),
    });
    transport.onclose = () => sessions.delete(transport.sessionId);
    await mcpServer().connect(transport);
  }
  await transport.handleRequest(req, res, req.body);
});
app.listen(Number(process.env.PORT), '127.0.0.1', () => console.log('READY'));
