// SPDX-License-Identifier: Apache-2.0
// What follows what in a box's life, as tables. Pure: no clock, no database, no dice of its own.
#include "delivery.h"

#include <stdio.h>
#include <stdlib.h>

enum { FAILED_ATTEMPT_PERCENT = 3, EXCEPTION_PERCENT = 1 };

const char *const delivery_status_names[] = {"READY", "ON_ROUTE", "DELIVERED", "CANCELLED", NULL};

const struct tracking_row tracking_rows[] = {
    [TRACKING_CREATED] = {"CREATED", DELIVERY_READY, "산지 집하장", "운송장이 등록되었습니다"},
    [TRACKING_PICKED_UP] = {"PICKED_UP", DELIVERY_ON_ROUTE, "산지 집하장", "상품을 인수했습니다"},
    [TRACKING_AT_HUB] = {"AT_HUB", -1, "옥천HUB", "간선 상차되었습니다"},
    [TRACKING_OUT_FOR_DELIVERY] = {"OUT_FOR_DELIVERY", -1, NULL, "배송 기사가 배송을 시작했습니다"},
    [TRACKING_ATTEMPT_FAILED] = {"ATTEMPT_FAILED", -1, NULL, "받는 분이 계시지 않아 다시 방문합니다"},
    [TRACKING_EXCEPTION] = {"EXCEPTION", -1, "옥천HUB", "물량이 몰려 배송이 늦어지고 있습니다"},
    [TRACKING_DELIVERED] = {"DELIVERED", DELIVERY_DELIVERED, NULL, "배송이 완료되었습니다"},
    [TRACKING_CANCELLED] = {"CANCELLED", DELIVERY_CANCELLED, "산지 집하장", "주문이 취소되어 배송을 멈췄습니다"},
};

// Share of the mean that passes before the next event, and a mishap that may come instead of it.
static const struct {
    enum tracking_type next;
    int ready_percent, route_percent;
    enum tracking_type mishap;
    int mishap_percent;
} steps[TRACKING_TYPE_COUNT] = {
    [TRACKING_CREATED] = {TRACKING_PICKED_UP, 100, 0, TRACKING_PICKED_UP, 0},
    [TRACKING_PICKED_UP] = {TRACKING_AT_HUB, 0, 40, TRACKING_AT_HUB, 0},
    [TRACKING_AT_HUB] = {TRACKING_OUT_FOR_DELIVERY, 0, 30, TRACKING_EXCEPTION, EXCEPTION_PERCENT},
    [TRACKING_EXCEPTION] = {TRACKING_OUT_FOR_DELIVERY, 0, 30, TRACKING_OUT_FOR_DELIVERY, 0},
    [TRACKING_OUT_FOR_DELIVERY] = {TRACKING_DELIVERED, 0, 30, TRACKING_ATTEMPT_FAILED, FAILED_ATTEMPT_PERCENT},
    [TRACKING_ATTEMPT_FAILED] = {TRACKING_OUT_FOR_DELIVERY, 0, 30, TRACKING_OUT_FOR_DELIVERY, 0},
    [TRACKING_DELIVERED] = {TRACKING_TYPE_COUNT, 0, 0, TRACKING_TYPE_COUNT, 0},
    [TRACKING_CANCELLED] = {TRACKING_TYPE_COUNT, 0, 0, TRACKING_TYPE_COUNT, 0},
};

enum tracking_type step_after(enum tracking_type last, int dice_percent)
{
    return dice_percent < steps[last].mishap_percent ? steps[last].mishap : steps[last].next;
}

double step_wait_s(enum tracking_type last, const struct simulation *simulation, double jitter)
{
    if (steps[last].next == TRACKING_TYPE_COUNT)
        return -1;
    return jitter *
           ((double)simulation->ready_mean_s * steps[last].ready_percent +
            (double)simulation->route_mean_s * steps[last].route_percent) /
           100;
}

void invoice_number(const uint8_t random[8], char ret_text[13])
{
    uint64_t number = 0;

    for (int i = 0; i < 8; i++)
        number = number << 8 | random[i];
    number = number % UINT64_C(90000000000) + UINT64_C(10000000000); // eleven digits, the first not 0
    snprintf(ret_text, 13, "%011llu%d", (unsigned long long)number, (int)(number % 7));
}

// Korean postcodes by their first two digits: last number of each range, in rising order.
static const struct {
    int last;
    const char *hub;
} regions[] = {
    {9, "서울 동부터미널"},  {20, "경기 군포터미널"}, {23, "인천터미널"},      {26, "강원 원주터미널"},
    {29, "충북 청주터미널"}, {30, "세종터미널"},      {33, "충남 천안터미널"}, {35, "대전터미널"},
    {40, "경북 구미터미널"}, {43, "대구터미널"},      {45, "울산터미널"},      {49, "부산터미널"},
    {53, "경남 창원터미널"}, {56, "전북 전주터미널"}, {60, "전남 순천터미널"}, {62, "광주터미널"},
    {63, "제주터미널"},
};

const char *region_hub(struct ch_str region)
{
    int64_t number;

    if (ch_str_to_int64(region, &number) == CH_OK)
        for (size_t i = 0; i < sizeof(regions) / sizeof(regions[0]); i++)
            if (number <= regions[i].last)
                return regions[i].hub;
    return "배송터미널";
}
