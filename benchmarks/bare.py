"""The floor: a FastAPI endpoint that reads a body and answers with bytes of a given length."""

import sys

import uvicorn
from fastapi import FastAPI, Request, Response

app = FastAPI()
ANSWER = b'"' + b"x" * (int(sys.argv[2]) - 2) + b'"'


@app.post("/")
async def answer(request: Request) -> Response:
    await request.body()
    return Response(ANSWER, media_type="application/json")


if __name__ == "__main__":
    uvicorn.run(app, host="127.0.0.1", port=int(sys.argv[1]), log_level="warning", access_log=False)
