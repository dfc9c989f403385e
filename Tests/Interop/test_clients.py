"""What the documentation of openai, litellm and langchain-openai shows, run against `mglu serve` with a real
chat model: nothing but address, key and name of the model is another."""

import asyncio
import os
import unittest

os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"  # its prices of models, not those of the network

import httpx
import litellm
import openai
from langchain_core.prompts import ChatPromptTemplate
from langchain_openai import ChatOpenAI
from langchain_openai import OpenAI as LangChainOpenAI
from pydantic import BaseModel

import served

KEY = "sk-test"
# Some 60 tokens each: longer than the context below.
LONG = "How long is a piece of string, and who would know it? " * 200


SERVER = None
# Clients keep connections, which belong to a loop.
run = asyncio.new_event_loop().run_until_complete


def setUpModule():
    global SERVER
    SERVER = served.Server("--api-key", KEY, "--context", 1024)


def tearDownModule():
    SERVER.stop()


class Clients(unittest.TestCase):
    @property
    def base(self):
        return SERVER.address + "/v1"


class OpenAIPython(Clients):
    """The README of openai-python."""

    def client(self, **options):
        return openai.OpenAI(**{"api_key": KEY, "base_url": self.base, **options})

    def test_usage(self):
        completion = self.client().chat.completions.create(
            model=served.NAME, max_tokens=24,
            messages=[
                {"role": "developer", "content": "Talk like a pirate."},
                {"role": "user", "content": "How do I check if a Python object is an instance of a class?"},
            ],
        )
        self.assertTrue(completion.choices[0].message.content)
        self.assertEqual(completion.choices[0].message.role, "assistant")
        usage = completion.usage
        self.assertEqual(usage.total_tokens, usage.prompt_tokens + usage.completion_tokens)
        self.assertEqual(usage.prompt_tokens_details.cached_tokens, 0)

    def test_streaming(self):
        stream = self.client().chat.completions.create(
            model=served.NAME, messages=[{"role": "user", "content": "Say this is a test"}], stream=True,
            max_tokens=16, temperature=0, stream_options={"include_usage": True},
        )
        parts, usage = [], None
        for chunk in stream:
            if chunk.choices:
                parts.append(chunk.choices[0].delta.content or "")
            usage = chunk.usage or usage
        whole = self.client().chat.completions.create(
            model=served.NAME, messages=[{"role": "user", "content": "Say this is a test"}], max_tokens=16,
            temperature=0)
        self.assertEqual("".join(parts), whole.choices[0].message.content)
        self.assertGreater(len([part for part in parts if part]), 3)
        self.assertEqual(usage.completion_tokens, whole.usage.completion_tokens)

    def test_streaming_helpers(self):
        with self.client().chat.completions.stream(
            model=served.NAME, messages=[{"role": "user", "content": "Say this is a test"}], max_tokens=12,
        ) as stream:
            kinds = [event.type for event in stream]
        self.assertIn("content.delta", kinds)
        self.assertTrue(stream.current_completion_snapshot.choices[0].message.content)

    def test_async_batches(self):
        """Many requests at a time, each with what it gets alone."""
        async def main():
            async with openai.AsyncOpenAI(api_key=KEY, base_url=self.base) as client:
                async def ask(number):
                    completion = await client.chat.completions.create(
                        model=served.NAME, max_tokens=8, temperature=0,
                        messages=[{"role": "user", "content": f"What comes after {number}?"}])
                    return completion.choices[0].message.content

                async def streamed(number):
                    stream = await client.chat.completions.create(
                        model=served.NAME, max_tokens=8, temperature=0, stream=True,
                        messages=[{"role": "user", "content": f"What comes after {number}?"}])
                    return "".join([chunk.choices[0].delta.content or "" async for chunk in stream])

                together = await asyncio.gather(*[ask(n) for n in range(24)], *[streamed(n) for n in range(24)])
                alone = [await ask(n) for n in range(0, 24, 8)]
                return together, alone

        together, alone = run(main())
        self.assertEqual(together[:24], together[24:])
        self.assertEqual(together[:24:8], alone)

    def test_completions(self):
        completion = self.client().completions.create(
            model=served.NAME, prompt=["Say this is a test", "Once upon a time"], max_tokens=7, temperature=0,
            n=2, logprobs=2, echo=True)
        self.assertEqual([choice.index for choice in completion.choices], [0, 1, 2, 3])
        self.assertTrue(completion.choices[2].text.startswith("Once upon a time"))
        self.assertEqual(completion.choices[0].text, completion.choices[1].text)
        self.assertEqual(len(completion.choices[0].logprobs.tokens),
                         len(completion.choices[0].logprobs.token_logprobs))

    def test_handling_errors(self):
        messages = [{"role": "user", "content": "Say this is a test"}]

        def create(client=None, **fields):
            return (client or self.client()).chat.completions.create(
                **{"model": served.NAME, "messages": messages, "max_tokens": 4, **fields})

        with self.assertRaises(openai.AuthenticationError) as caught:
            create(self.client(api_key="wrong"))
        self.assertEqual(caught.exception.code, "invalid_api_key")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(temperature=-1)
        self.assertEqual(caught.exception.param, "temperature")
        with self.assertRaises(openai.BadRequestError) as caught:
            create(messages=[{"role": "user", "content": LONG}])
        self.assertEqual(caught.exception.code, "context_length_exceeded")
        with self.assertRaises(openai.NotFoundError) as caught:
            self.client().models.retrieve("gpt-4o")
        self.assertEqual(caught.exception.code, "model_not_found")
        with self.assertRaises(openai.APITimeoutError):
            create(self.client(timeout=0.001, max_retries=0))
        with self.assertRaises(openai.APIConnectionError):
            create(self.client(base_url="http://127.0.0.1:9/v1", max_retries=0))
        # What it cannot enforce the server refuses by name.
        for name, value in [("response_format", {"type": "json_object"}), ("tool_choice", "required")]:
            with self.assertRaises(openai.BadRequestError) as caught:
                create(**{name: value})
            self.assertEqual(caught.exception.code, "unsupported_parameter")
            self.assertEqual(caught.exception.param, name)

        class Event(BaseModel):
            name: str

        with self.assertRaises(openai.BadRequestError):
            self.client().chat.completions.parse(model=served.NAME, messages=messages, response_format=Event)

    def test_raw_responses_and_pages(self):
        client = self.client()
        response = client.chat.completions.with_raw_response.create(
            messages=[{"role": "user", "content": "Say this is a test"}], model=served.NAME, max_tokens=4)
        self.assertEqual(response.headers.get("content-type"), "application/json")
        self.assertEqual(response.parse().object, "chat.completion")
        with client.chat.completions.with_streaming_response.create(
            messages=[{"role": "user", "content": "Say this is a test"}], model=served.NAME, max_tokens=4,
        ) as response:
            self.assertTrue("".join(response.iter_lines()).startswith("{"))
        self.assertEqual([model.id for model in client.models.list()], [served.NAME])
        self.assertEqual(client.models.retrieve(served.NAME).id, served.NAME)
        with self.assertRaises(openai.NotFoundError):
            client.post("/foo", cast_to=httpx.Response, body={"my_param": True})
        fields = {"repetition_penalty": 1.3, "min_tokens": 4, "top_k": 20}
        completion = client.with_options(max_retries=5).chat.completions.create(
            model=served.NAME, max_tokens=8, extra_body=fields,
            messages=[{"role": "user", "content": "Say this is a test"}])
        self.assertGreaterEqual(completion.usage.completion_tokens, 4)


class LiteLLM(Clients):
    """docs.litellm.ai: OpenAI-compatible endpoints, streaming, batches, exceptions."""

    messages = [{"content": "Hello, how are you?", "role": "user"}]

    def options(self, **options):
        return {"model": "openai/" + served.NAME, "api_key": KEY, "api_base": self.base, "max_tokens": 12,
                **options}

    def test_completion(self):
        response = litellm.completion(messages=self.messages, **self.options())
        self.assertTrue(response.choices[0].message.content)
        self.assertGreater(response.usage.completion_tokens, 0)

    def test_streaming(self):
        response = litellm.completion(messages=self.messages, stream=True, **self.options(temperature=0))
        chunks = list(response)
        built = litellm.stream_chunk_builder(chunks, messages=self.messages)
        whole = litellm.completion(messages=self.messages, **self.options(temperature=0))
        self.assertEqual(built.choices[0].message.content, whole.choices[0].message.content)

    def test_async(self):
        async def main():
            response = await litellm.acompletion(messages=self.messages, **self.options())
            parts = []
            async for chunk in await litellm.acompletion(messages=self.messages, stream=True, **self.options()):
                parts.append(chunk.choices[0].delta.content or "")
            return response, parts

        response, parts = run(main())
        self.assertTrue(response.choices[0].message.content and "".join(parts))

    def test_batch_completion(self):
        responses = litellm.batch_completion(
            messages=[[{"role": "user", "content": text}] for text in
                      ["good morning? ", "what's the time? ", "hello there"] * 4], **self.options())
        self.assertEqual(len(responses), 12)
        self.assertTrue(all(response.choices[0].message.content for response in responses))

    def test_text_completion(self):
        response = litellm.text_completion(
            prompt="good morning", **self.options(model="text-completion-openai/" + served.NAME))
        self.assertTrue(response.choices[0].text)

    def test_exceptions(self):
        for messages, options, kind in [
            ([{"role": "user", "content": LONG}], {}, litellm.ContextWindowExceededError),
            (self.messages, {"api_key": "wrong"}, litellm.AuthenticationError),
            (self.messages, {"temperature": -1}, litellm.BadRequestError),
            (self.messages, {"timeout": 0.001, "max_retries": 0}, litellm.Timeout),
            (self.messages, {"response_format": {"type": "json_object"}}, litellm.BadRequestError),
        ]:
            with self.subTest(kind.__name__), self.assertRaises(kind):
                litellm.completion(messages=messages, **self.options(**options))


class LangChain(Clients):
    """The pages of ChatOpenAI and OpenAI of LangChain."""

    messages = [("system", "You are a helpful assistant that translates English to French. "
                           "Translate the user sentence."), ("human", "I love programming.")]

    def chat(self, **options):
        return ChatOpenAI(**{"model": served.NAME, "temperature": 0, "max_tokens": 16, "timeout": None,
                             "max_retries": 2, "api_key": KEY, "base_url": self.base, **options})

    def test_invocation(self):
        message = self.chat().invoke(self.messages)
        self.assertTrue(message.content)
        self.assertEqual(message.response_metadata["model_name"], served.NAME)
        usage = message.usage_metadata
        self.assertEqual(usage["total_tokens"], usage["input_tokens"] + usage["output_tokens"])

    def test_chaining(self):
        prompt = ChatPromptTemplate([
            ("system", "You are a helpful assistant that translates {input_language} to {output_language}."),
            ("human", "{input}")])
        chain = prompt | self.chat()
        self.assertTrue(chain.invoke({
            "input_language": "English", "output_language": "German", "input": "I love programming."}).content)

    def test_streaming(self):
        chat = self.chat(stream_usage=True)
        whole = None
        for chunk in chat.stream(self.messages):
            whole = chunk if whole is None else whole + chunk
        self.assertEqual(whole.content, chat.invoke(self.messages).content)
        self.assertGreater(whole.usage_metadata["output_tokens"], 0)

        async def main():
            return "".join([chunk.content async for chunk in chat.astream(self.messages)])

        self.assertEqual(run(main()), whole.content)

    def test_batches(self):
        chat = self.chat()
        texts = [f"Say {number}" for number in range(12)]
        batch = chat.batch(texts, config={"max_concurrency": 5})
        self.assertEqual([message.content for message in batch],
                         [message.content for message in run(chat.abatch(texts))])

    def test_logprobs(self):
        message = self.chat().bind(logprobs=True).invoke(("human", "how are you today"))
        content = message.response_metadata["logprobs"]["content"]
        self.assertEqual("".join(item["token"] for item in content), message.content)

    def test_completions(self):
        llm = LangChainOpenAI(model=served.NAME, api_key=KEY, base_url=self.base, max_tokens=8, temperature=0)
        text = llm.invoke("Hello how are you?")
        self.assertEqual(text, "".join(llm.stream("Hello how are you?")))
        self.assertEqual(llm.batch(["Hello how are you?"] * 3), [text] * 3)

    def test_errors(self):
        class Joke(BaseModel):
            """Joke to tell user."""
            setup: str

        with self.assertRaises(openai.BadRequestError):
            self.chat().with_structured_output(Joke).invoke("Tell me a joke about cats")
        # The template of this model has no place for tools.
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat().bind_tools([Joke]).invoke("Tell me a joke about cats")
        self.assertEqual(caught.exception.param, "tools")
        with self.assertRaises(openai.BadRequestError) as caught:
            self.chat().invoke(LONG)
        self.assertEqual(caught.exception.code, "context_length_exceeded")
