"""users_fastapi.py: the users API on FastAPI with plain SQL through aiosqlite, and argon2 in the thread
pool: no ORM, no blocking call in a coroutine. Environment: BENCH_DATABASE, BENCH_SECRET, BENCH_HASH_KIB,
BENCH_HASH_PASSES."""

import os
import sqlite3
import time

import aiosqlite
import jwt
from argon2 import PasswordHasher
from argon2.exceptions import VerifyMismatchError
from fastapi import Depends, FastAPI, HTTPException
from fastapi.concurrency import run_in_threadpool
from fastapi.security import OAuth2PasswordBearer, OAuth2PasswordRequestForm
from pydantic import BaseModel

SECRET = os.environ["BENCH_SECRET"]
HASHER = PasswordHasher(time_cost=int(os.environ.get("BENCH_HASH_PASSES", "3")),
                        memory_cost=int(os.environ.get("BENCH_HASH_KIB", "65536")),
                        parallelism=1, hash_len=32, salt_len=16)

app = FastAPI()
credentials = OAuth2PasswordBearer(tokenUrl="/auth/token")


class Message(BaseModel):
    message: str


class NewUser(BaseModel):
    username: str
    email: str
    password: str


class User(BaseModel):
    id: int
    username: str
    email: str


class Users(BaseModel):
    users: list[User]


class Token(BaseModel):
    access_token: str
    token_type: str


@app.on_event("startup")
async def connect():
    app.db = await aiosqlite.connect(os.environ["BENCH_DATABASE"], isolation_level=None, timeout=5)
    await app.db.execute("PRAGMA journal_mode=WAL")
    await app.db.execute("PRAGMA synchronous=FULL")


@app.on_event("shutdown")
async def disconnect():
    await app.db.close()


async def one_row(sql, *values):
    rows = await app.db.execute_fetchall(sql, values)
    return next(iter(rows), None)


def as_user(row):
    return {"id": row[0], "username": row[1], "email": row[2]}


async def current_user(token: str = Depends(credentials)):
    try:
        email = jwt.decode(token, SECRET, algorithms=["HS256"])["sub"]
    except (jwt.PyJWTError, KeyError):
        raise HTTPException(401, "Could not validate credentials") from None
    row = await one_row("SELECT id, username, email FROM users WHERE email = ?", email)
    if not row:
        raise HTTPException(401, "Could not validate credentials")
    return as_user(row)


@app.get("/", response_model=Message)
async def hello():
    return {"message": "Olá Mundo!"}


@app.get("/users/me", response_model=User)
async def who_am_i(user=Depends(current_user)):
    return user


@app.get("/users/{user_id}", response_model=User)
async def read_user(user_id: int):
    row = await one_row("SELECT id, username, email FROM users WHERE id = ?", user_id)
    if not row:
        raise HTTPException(404, "User not found")
    return as_user(row)


@app.get("/users/", response_model=Users)
async def read_users(offset: int = 0, limit: int = 100):
    rows = await app.db.execute_fetchall(
        "SELECT id, username, email FROM users ORDER BY id LIMIT ? OFFSET ?", (limit, offset))
    return {"users": [as_user(row) for row in rows]}


@app.post("/users/", status_code=201, response_model=User)
async def sign_up(user: NewUser):
    hashed = await run_in_threadpool(HASHER.hash, user.password)
    try:
        cursor = await app.db.execute("INSERT INTO users (username, email, password) VALUES (?, ?, ?)",
                                      (user.username, user.email, hashed))
    except sqlite3.IntegrityError:
        raise HTTPException(409, "exists") from None
    new = cursor.lastrowid
    await cursor.close()
    return {"id": new, "username": user.username, "email": user.email}


def verify(hashed, password):
    try:
        return HASHER.verify(hashed, password)
    except VerifyMismatchError:
        return False


@app.post("/auth/token", response_model=Token)
async def log_in(form: OAuth2PasswordRequestForm = Depends()):
    row = await one_row("SELECT email, password FROM users WHERE email = ?", form.username)
    if not row or not await run_in_threadpool(verify, row[1], form.password):
        raise HTTPException(401, "Incorrect email or password")
    claims = {"sub": row[0], "exp": int(time.time()) + 1800}
    return {"access_token": jwt.encode(claims, SECRET, "HS256"), "token_type": "bearer"}
